"""What ``gantk train MODEL`` knows of a plugin without importing it, and when it no longer holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from stranger import WORKING, install
from translate import plugins
from translate.cli import app, description
from translate.cli.description import keep, kept
from translate.cli.train_start import describe
from translate.plugins import Plugin

RUN = """
import json, sys
from translate.cli.app import run
for words in json.loads(sys.argv[1]):
    print("CODE", run(words), file=sys.stderr)
print("LOADED", [m for m in sys.modules if m in ("torch", "numpy", "stranger_sepia")], file=sys.stderr)
"""
A_DAY = 24 * 3600


def age(path: Path, days: float) -> None:
    """Give a file the time that it would have had it been written some days ago."""
    os.utime(path, (time.time() - days * A_DAY,) * 2)


def start(site: Path, *lines: list[str]) -> tuple[str, list[str]]:
    """Run command lines in a process of their own, whose temporary folder is beside ``site``: stdout, and stderr."""
    variables = {"PYTHONPATH": str(site), "TMPDIR": str(site.parent), "TERM": "dumb", "COLUMNS": "100"}
    result = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(lines)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    return result.stdout, result.stderr.splitlines()


def test_help_and_wrong_uses_import_neither_torch_nor_the_plugin(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    install(site, "brown-tools")
    module = site / "stranger_sepia.py"
    age(module, 2)
    first, said = start(site, ["train", "sepia", "--help"])
    assert "how brown (default 0.5; > 0)" in first
    assert "'torch'" in said[-1]

    data = ["--a", "A", "--b", "B"]
    (tmp_path / "odd.toml").write_text("[model]\ntnt = 1\n")
    wrong = {
        "--tint": ["--tint", "0"],
        "such option: --tnt": [*data, "--tnt", "1"],
        "--b is missing": ["--a", "A"],
        "expected one of memory": [*data, "--cache", "nowhere"],
        "exclude each other": [*data, "--steps", "2", "--epochs", "1"],
        "--ada exclude": [*data, "--diffaug", "--ada"],
        "unknown key 'tnt'": [*data, "--config", str(tmp_path / "odd.toml")],
        "given more than once": [*data, "--tint", "1", "--tint", "2"],
    }
    shown, said = start(site, ["train", "sepia", "--help"], *(["train", "sepia", *words] for words in wrong.values()))
    assert shown == first
    assert said[-1] == "LOADED []"
    assert [line for line in said if line.startswith("CODE")] == ["CODE 0", *["CODE 2"] * len(wrong)]
    errors = [line for line in said if line.startswith("gantk: error: ")]
    assert [part in line for part, line in zip(wrong, errors, strict=True)] == [True] * len(wrong)

    module.write_text(WORKING.replace("how brown", "how dark and brown"), encoding="utf-8")
    age(module, 1)
    assert "how dark and brown" in start(site, ["train", "sepia", "--help"])[0]


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plugin]:
    """A package that was installed yesterday, with a file that it may read when it is imported."""
    fields = '    tone: Literal["warm", "cold"] | None = None\n    where: Path = Path("x")\n'
    imports = "from pathlib import Path\nfrom typing import Literal\n"
    code = WORKING.replace("from dataclasses", f"{imports}from dataclasses").replace("    tint:", f"{fields}    tint:")
    site = tmp_path / "site"
    package = site / "stranger_tones"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(code)
    (package / "tones.json").write_text("[]")
    install(site, "tones", code=None, name="tones", entry="stranger_tones:Sepia")
    for path in (*package.iterdir(), package):
        age(path, 1)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(description, "STARTED", time.time_ns() + A_DAY * 10**9)
    yield plugins.find("tones")
    sys.modules.pop("stranger_tones", None)


def package_of(plugin: Plugin) -> Path:
    source = plugins.source_file(plugin.module)
    assert source is not None
    return source.parent


def test_a_description_is_read_back_as_it_was(plugin: Plugin) -> None:
    assert kept(plugin) is None
    true = describe(plugin)
    keep(plugin, true)
    assert kept(plugin) == true
    assert {"tone", "where", "tint"} < {field.name for field in true.tables["model"]}


@pytest.mark.parametrize("name", ["__init__.py", "tones.json"])
def test_a_changed_file_of_the_plugin_ends_it(plugin: Plugin, name: str) -> None:
    keep(plugin, describe(plugin))
    age(package_of(plugin) / name, 0.5)
    assert kept(plugin) is None


def test_a_new_file_beside_its_own_ends_it(plugin: Plugin) -> None:
    keep(plugin, describe(plugin))
    (package_of(plugin) / "more.json").write_text("[]")
    assert kept(plugin) is None


def test_another_version_or_search_path_ends_it(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(plugin, describe(plugin))
    assert kept(replace(plugin, version="2.4")) is None
    monkeypatch.syspath_prepend("/elsewhere")
    assert kept(plugin) is None


def test_a_file_that_has_just_changed_is_not_trusted(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second change in the same tick of the file system's clock would not show."""
    monkeypatch.setattr(description, "STARTED", (package_of(plugin) / "tones.json").stat().st_mtime_ns + 10**9)
    keep(plugin, describe(plugin))
    assert kept(plugin) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", "[" * 100_000, '{"key": 1}', b"\xff\xfe"])
def test_a_damaged_file_is_ignored_and_replaced(plugin: Plugin, text: str | bytes) -> None:
    true = describe(plugin)
    keep(plugin, true)
    (file,) = Path(tempfile.gettempdir()).glob("gantk-descriptions*/*")
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert kept(plugin) is None
    keep(plugin, true)
    assert kept(plugin) == true


@pytest.mark.parametrize("damage", ["types", "rows", "table", "stamp"])
def test_a_file_of_another_form_is_ignored(plugin: Plugin, damage: str) -> None:
    keep(plugin, describe(plugin))
    (file,) = Path(tempfile.gettempdir()).glob("gantk-descriptions*/*")
    content = json.loads(file.read_bytes())
    tables = content["description"][2]
    match damage:
        case "types":
            tables["model"][0][1] = ["Annotated", "complex"]
        case "rows":
            tables["model"][0] = []
        case "table":
            content["description"][2] = None
        case "stamp":
            content["stamps"] = []
    file.write_text(json.dumps(content))
    assert kept(plugin) is None


def test_what_cannot_be_written_is_no_error(plugin: Plugin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    keep(plugin, describe(plugin))
    assert kept(plugin) is None


def test_a_constraint_that_json_cannot_hold_is_never_left_out(plugin: Plugin) -> None:
    file = package_of(plugin) / "__init__.py"
    code = (
        file.read_text()
        .replace("Gt(0)]", "Predicate(lambda value: value < 2)]")
        .replace("import Gt", "import Predicate")
    )
    file.write_text(code)
    age(file, 1)
    keep(plugin, describe(plugin))
    assert kept(plugin) is None


def test_flags_that_cannot_be_kept_are_used_all_the_same(
    plugin: Plugin, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """An annotation written as text is read anew each time, and a lambda in it is another one."""
    file = package_of(plugin) / "__init__.py"
    code = file.read_text().replace("Gt(0)]", "Predicate(lambda value: value < 2)]")
    file.write_text(code.replace("import Gt", "import Predicate"))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(2):
            Image.new("RGB", (16, 16)).save(tmp_path / name / f"{number}.png")
    words = ["train", "tones", "--a", str(tmp_path / "a"), "--b", str(tmp_path / "b"), "--dry-run", "--tint"]
    assert app.run([*words, "1"]) == 0
    assert app.run([*words, "3"]) == 2
    assert "--tint 3: expected a number" in capsys.readouterr().err


def test_every_installed_model_has_a_description(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(description, "STARTED", time.time_ns() + A_DAY * 10**9)
    for name, plugin in plugins.selectable().items():
        if plugin.builtin:
            true = describe(plugin)
            keep(plugin, true)
            assert kept(plugin) == true, name


def test_flags_that_depend_on_more_than_files_are_read_anew(
    plugin: Plugin, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = package_of(plugin) / "__init__.py"
    code = file.read_text().replace('"warm", "cold"', 'tuple(os.environ["TONES"].split())')
    file.write_text(code.replace("from pathlib", "import os\nfrom pathlib"))
    age(file, 1)
    words = ["train", "tones", "--a", str(tmp_path), "--b", str(tmp_path), "--tone", "cold", "--dry-run"]
    monkeypatch.setenv("TONES", "warm cold")
    keep(plugin, describe(plugin))
    del sys.modules["stranger_tones"]
    monkeypatch.setenv("TONES", "warm")
    assert app.run(words) == 2
    assert "its flags are not those of its last start; run the command again" in capsys.readouterr().err
    assert app.run(words) == 2
    assert "--tone cold: expected one of warm" in capsys.readouterr().err
