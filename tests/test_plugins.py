"""Plugins of strangers, working and broken in every way: what is wrong with one stays with that one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stranger import WORKING, install
from translate import plugins
from translate.errors import GantkError, UsageError
from translate.plugins import PluginError


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on sys.path for strangers; what they import is forgotten afterwards."""
    monkeypatch.delenv(plugins.VARIABLE, raising=False)
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if name.startswith("stranger"):
            del sys.modules[name]


def broken(site: Path, code: str, **settings: str) -> str:
    """Install a faulty plugin, load it, and return the one line that says why it is refused."""
    install(site, "brown-tools", code=code, **settings)
    with pytest.raises(PluginError) as refused:
        plugins.load("sepia")
    message = str(refused.value)
    assert "\n" not in message
    assert "sepia (brown-tools 2.3)" in message
    assert plugins.load("cyclegan").__name__ == "CycleGAN", "every other model goes on working"
    assert "sepia" in [plugin.name for plugin in plugins.installed()]
    return message


def test_a_strangers_plugin_is_found_and_loaded(site: Path) -> None:
    install(site, "brown-tools")
    plugin = plugins.find("sepia")
    assert (plugin.distribution, plugin.version, plugin.value) == ("brown-tools", "2.3", "stranger_sepia:Sepia")
    assert plugins.state(plugin) == "ready"
    assert plugins.peek(plugin).title == "Brown pictures (a stranger, 2026)."
    assert plugins.origin("sepia") == ("brown-tools", "2.3")
    assert "stranger_sepia" not in sys.modules, "nothing so far has imported it"
    assert plugins.load("sepia").__name__ == "Sepia"
    assert plugins.load("brown_tools:sepia").__name__ == "Sepia"


def test_the_builtin_models_are_found_by_entry_points() -> None:
    builtin = {plugin.name for plugin in plugins.installed() if plugin.builtin}
    assert "cyclegan" in builtin
    for name in builtin:
        assert plugins.load(name).api == plugins.API_VERSION


def test_an_unknown_model_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no model is named 'cyclegam' \(did you mean cyclegan\?\)"):
        plugins.find("cyclegam")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import nowhere_to_be_found\n", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("from translate import NoSuchName\n", "ImportError: cannot import name 'NoSuchName'"),
        ("def broken(:\n", "SyntaxError"),
        ("import sys\nsys.exit(7)\n", "SystemExit: 7"),
        ("raise SystemExit\n", "SystemExit"),
        ("class Own(BaseException): pass\nraise Own('odd')\n", "Own: odd"),
        ("1 / 0\n", "ZeroDivisionError: division by zero"),
        ("None.nothing\n", "AttributeError: 'NoneType' object has no attribute 'nothing'"),
        ("x = 1\n", "stranger_sepia has no Sepia"),
        ("Sepia = 3\n", "Sepia is not a subclass of translate.TaskModel"),
        ("class Sepia: pass\n", "Sepia is not a subclass of translate.TaskModel"),
        (WORKING.replace("@dataclass(frozen=True, kw_only=True)", ""), "Sepia is not a dataclass"),
        (
            WORKING.replace("    api = 2\n", ""),
            "Sepia does not state the plugin API that it is written for",
        ),
        (WORKING.replace("def phases", "def fases"), "Sepia lacks phases"),
        (WORKING.replace("source = Unpaired", "source = None"), "Sepia.source is None"),
        (WORKING.replace("recipe = Run(batch=2, size=16, epochs=3)", "recipe = 3"), "Sepia.recipe is 3"),
        (WORKING.replace("= 0.5", "= -1.0"), "field tint: invalid default -1.0: expected a number > 0"),
        (WORKING.replace("= 0.5", "= 'brown'"), "field tint: invalid default 'brown'"),
        (WORKING.replace("Annotated[float", "Annotated[Flaot"), "field tint: unreadable annotation"),
        (WORKING.replace("tint:", "steps:"), "field steps of Sepia: --steps is already a flag of gantk train"),
        (WORKING.replace("tint:", "out:"), "field out of Sepia: --out is already a flag of gantk train"),
        (WORKING.replace("tint:", "json:"), "field json of Sepia: --json is already a flag of gantk train"),
        (WORKING.replace("tint:", "no_compile:"), "--no-compile is already a flag of gantk train"),
        (WORKING.replace("tint:", "a:"), "field a of Sepia: --a is already a flag of Unpaired"),
    ],
)
def test_a_broken_plugin_is_refused_by_name(site: Path, code: str, reason: str) -> None:
    assert reason in broken(site, code)


def test_a_plugin_for_another_api_is_refused_with_both_versions_before_it_runs(site: Path) -> None:
    code = "raise SystemExit('must not run')\n" + WORKING.replace("api = 2", "api = 9")
    message = broken(site, code)
    assert "is written for plugin API 9; this gantk has plugin API 2" in message
    assert plugins.state(plugins.find("sepia")) == "for plugin API 9, this is 2"


def test_a_plugin_whose_api_is_known_only_by_running_it_is_refused_as_well(site: Path) -> None:
    code = WORKING.replace("api = 2", "api = 4 + 5")
    assert "is written for plugin API 9" in broken(site, code)


@pytest.mark.parametrize("entry", ["", "stranger_sepia", "no such thing!", ":Sepia", "stranger_sepia:"])
def test_an_entry_point_of_the_wrong_form(site: Path, entry: str) -> None:
    install(site, "brown-tools", entry=entry)
    assert plugins.load("cyclegan").__name__ == "CycleGAN"
    (plugin,) = (plugin for plugin in plugins.installed() if plugin.distribution == "brown-tools")
    assert plugins.state(plugin).startswith("broken: ")
    with pytest.raises(PluginError, match="brown-tools"):
        plugins.load("sepia")


def test_metadata_without_code(site: Path) -> None:
    install(site, "brown-tools", code=None)
    assert plugins.state(plugins.find("sepia")) == "broken: module stranger_sepia is not installed"
    with pytest.raises(PluginError, match=r"sepia \(brown-tools 2.3\) cannot be imported: ModuleNotFoundError"):
        plugins.load("sepia")


@pytest.mark.parametrize(
    "junk", [b"\xff\xfe\x00 gantk.models", b"[gantk.models]\nno equals sign\n", b"[gantk.models\n"]
)
def test_unreadable_metadata_hides_no_other_plugin(site: Path, junk: bytes) -> None:
    install(site, "brown-tools")
    (site / "brown_tools-2.3.dist-info" / "entry_points.txt").write_bytes(junk)
    assert "cyclegan" in [plugin.name for plugin in plugins.installed()]


def test_a_syntax_error_shows_in_the_list_without_an_import(site: Path) -> None:
    install(site, "brown-tools", code="x = 1\ndef broken(:\n")
    assert plugins.state(plugins.find("sepia")) == "broken: SyntaxError in stranger_sepia.py, line 2"


def test_a_plugin_in_a_package_is_peeked_at_without_running_its_parent(site: Path) -> None:
    (site / "stranger_pack").mkdir()
    (site / "stranger_pack" / "__init__.py").write_text("raise SystemExit\n", encoding="utf-8")
    (site / "stranger_pack" / "inner.py").write_text(WORKING, encoding="utf-8")
    install(site, "brown-tools", code=None, entry="stranger_pack.inner:Sepia")
    assert plugins.peek(plugins.find("sepia")).title == "Brown pictures (a stranger, 2026)."


@pytest.mark.parametrize("module", ["stranger_space.models", "stranger_space.deep.models"])
def test_a_plugin_in_a_namespace_package_is_peeked_at_and_loaded(site: Path, module: str) -> None:
    file = site / (module.replace(".", "/") + ".py")
    file.parent.mkdir(parents=True)
    file.write_text(WORKING, encoding="utf-8")
    install(site, "brown-tools", code=None, entry=f"{module}:Sepia")
    plugin = plugins.find("sepia")
    assert plugins.state(plugin) == "ready"
    assert plugins.peek(plugin).title == "Brown pictures (a stranger, 2026)."
    assert "stranger_space" not in sys.modules
    assert plugins.load("sepia").__module__ == module


def test_what_a_plugin_raises_is_blamed_on_it_but_a_lost_process_is_not(site: Path) -> None:
    install(site, "brown-tools", code=WORKING + "def fail(error): raise error\n")
    plugin = plugins.find("sepia")
    fail = sys.modules[plugins.load("sepia").__module__].fail
    for error in (ValueError("x"), SystemExit(0), SystemExit()):
        with (
            pytest.raises(GantkError, match=r"plugin sepia \(brown-tools 2.3\) failed: ") as blamed,
            plugins.blamed(plugin),
        ):
            fail(error)
        assert blamed.value.exit_code == 1
    lost = RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [::1]:1")
    with pytest.raises(GantkError, match="another process of this run has ended"), plugins.blamed(plugin):
        fail(lost)


def test_prints_at_import_reach_neither_stream(site: Path, capfd: pytest.CaptureFixture[str]) -> None:
    install(site, "brown-tools", code=WORKING + "import sys\nprint('look at me')\nprint('and me', file=sys.stderr)\n")
    plugins.load("sepia")
    assert capfd.readouterr() == ("", "")


def test_ctrl_c_during_an_import_is_no_fault_of_the_plugin(site: Path) -> None:
    install(site, "brown-tools", code="raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        plugins.load("sepia")


def test_a_builtin_wins_over_a_stranger_with_a_warning(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(site, "brown-tools", name="cyclegan")
    assert plugins.find("cyclegan").distribution == "gantk"
    warning = "the built-in cyclegan is used; to use cyclegan (brown-tools 2.3), write brown-tools:cyclegan"
    assert warning in capsys.readouterr().err
    assert plugins.find("brown-tools:cyclegan").distribution == "brown-tools"
    assert plugins.find("gantk:cyclegan").distribution == "gantk"
    assert {"cyclegan", "brown-tools:cyclegan"} <= set(plugins.selectable())


def test_two_strangers_of_one_name_must_be_told_apart(site: Path) -> None:
    install(site, "brown-tools")
    install(site, "other-tools", module="stranger_other")
    with pytest.raises(UsageError, match="choose brown-tools:sepia or other-tools:sepia"):
        plugins.find("sepia")
    assert plugins.load("other-tools:sepia").__module__ == "stranger_other"
    assert "sepia" not in plugins.selectable()
    assert plugins.state(plugins.find("brown-tools:sepia")) == "ready as brown-tools:sepia"


def test_the_same_distribution_twice_on_the_path_counts_once(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "brown-tools", version="3.0")
    monkeypatch.setattr(sys, "path", [*sys.path, str(install(tmp_path / "later", "Brown_Tools"))])
    assert plugins.find("sepia").version == "3.0"


@pytest.mark.parametrize(
    ("limit", "allowed"),
    [
        ("", True),
        ("sepia", True),
        ("other, sepia", True),
        ("brown-tools:sepia", True),
        ("none", False),
        ("other", False),
    ],
)
def test_the_environment_limits_what_may_load(
    site: Path, monkeypatch: pytest.MonkeyPatch, limit: str, allowed: bool
) -> None:
    install(site, "brown-tools")
    monkeypatch.setitem(os.environ, plugins.VARIABLE, limit)
    assert plugins.find("cyclegan").builtin
    assert ("sepia" in plugins.selectable()) == allowed
    if allowed:
        assert plugins.find("sepia")
    else:
        assert plugins.state(next(p for p in plugins.installed() if p.name == "sepia")) == "off (GANTK_PLUGINS)"
        with pytest.raises(PluginError, match=r"sepia \(brown-tools 2.3\) may not load"):
            plugins.load("sepia")
