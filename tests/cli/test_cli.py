"""The command line from outside: what it prints where, its exit codes, and what it imports."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stranger import WORKING, install
from translate import plugins
from translate.cli import app as cli
from translate.errors import GantkError
from translate.fields import EVERYWHERE, TRAIN_FLAGS

HEAVY = ("torch", "torchvision", "kornia", "albumentations", "cv2", "scipy", "numpy", "PIL")


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """An empty current folder, a narrow terminal, no limits; `gantk --no-plugins` sets the variable for good."""
    monkeypatch.setenv(plugins.VARIABLE, "")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("stranger"):
            del sys.modules[name]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (root / name).mkdir()
        for index in range(3):
            pixels = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    return str(root / "a"), str(root / "b")


def data(pictures: tuple[str, str]) -> list[str]:
    return ["--a", pictures[0], "--b", pictures[1]]


def small(pictures: tuple[str, str]) -> list[str]:
    return [*data(pictures), "--size", "16", "--device", "cpu", "--workers", "0"]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    """Run a command line that must be refused: one line on stderr, nothing on stdout, nothing left behind."""
    assert cli.run(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("gantk: error: ")
    assert err.count("\n") == 1
    assert list(Path().iterdir()) == [], "nothing is left behind"
    return err.removeprefix("gantk: error: ").strip()


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.run(arguments) == 0
    return capsys.readouterr().out


# --- help, imports, time ---


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["plugins", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: Sequence[str]) -> None:
    code = (
        "import sys; from translate.cli import app as cli; code = cli.run(sys.argv[1:]); "
        f"print('HEAVY', [m for m in {HEAVY!r} if m in sys.modules]); sys.exit(code)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.splitlines()[-1] == "HEAVY []"
    assert result.stderr == ""
    assert "\x1b" not in result.stdout


def test_train_help_lists_the_models_with_titles(capsys: pytest.CaptureFixture[str], site: Path) -> None:
    install(site, "brown-tools")
    install(site, "torn-tools", name="torn", module="stranger_torn", code="def broken(:\n")
    help_text = shown(capsys, "train", "--help")
    assert "cyclegan" in help_text
    assert "Brown pictures (a stranger, 2026)." in help_text
    assert "(broken: SyntaxError in stranger_torn.py, line 1)" in help_text


def test_a_models_help_has_its_panels_flags_and_the_recipes_defaults(
    capsys: pytest.CaptureFixture[str], site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 200)
    install(site, "brown-tools")
    text = shown(capsys, "train", "sepia", "--help")
    for panel in ("─ Data ─", "─ Sepia ─", "─ Run ─", "─ Output ─"):
        assert panel in text
    assert "how brown (default 0.5; > 0)" in text
    assert "passes over the data (default 3; >= 1 and <= " in text
    assert "images per step and domain (default 2; >= 1 and <= 1000000)" in text
    assert "Plugin sepia (brown-tools 2.3)." in text


def test_markup_in_a_strangers_text_is_only_text(capsys: pytest.CaptureFixture[str], site: Path) -> None:
    code = WORKING.replace("how brown", "in [red], [/oops] or [0, 1]").replace("Brown pictures", "Brown [/b] [u]")
    install(site, "brown-tools", code=code)
    assert "Brown [/b] [u]" in shown(capsys, "train", "--help")
    assert "[/oops]" in shown(capsys, "train", "sepia", "--help")


def test_train_takes_the_flags_that_fields_may_not_have() -> None:
    from translate.cli.train_options import OPTIONS

    assert {flag for field in OPTIONS for flag in field.flags} == TRAIN_FLAGS
    assert cli.SHARED | {"--help"} == EVERYWHERE


def test_no_arguments_show_the_help_and_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([]) == 2
    out, err = capsys.readouterr()
    assert "Usage: gantk" in out
    assert err == ""


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "--version").startswith("gantk ")


# --- wrong usage ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "no such command: trian (did you mean train?) (see gantk --help)"),
        (["train", "cyclegam"], "no model is named 'cyclegam' (did you mean cyclegan?); see gantk plugins"),
        (["train", "cyclegan", "--cylce", "3"], "No such option: --cylce (did you mean --cycle?)"),
        (["train", "cyclegan", "stray"], "(stray) (see gantk train cyclegan --help)"),
        (["train", "cyclegan", "--a"], "Option '--a' requires an argument"),
        (["train", "cyclegan", "--betas", "0.5"], "Option '--betas' requires 2 arguments"),
        (["train", "cyclegan"], "--a is missing: folder of images of domain a"),
        (["train", "cyclegan", "--a", "x", "--b", "y", "--lr", "-1"], "--lr -1: expected a number > 0"),
        (["train", "cyclegan", "--a", "x", "--b", "y", "--loss", "lsgam"], "--loss lsgam: expected one of vanilla"),
        (
            ["train", "cyclegan", "--a", "x", "--b", "y", "--steps", "3", "--epochs", "2"],
            "--steps and --epochs exclude",
        ),
        (["train", "cyclegan", "--a", "x", "--b", "y", "--device", "tpu"], "--device tpu: expected auto, cpu"),
        (["train", "cyclegan", "--a", "nowhere", "--b", "y", "--device", "cpu"], "--a nowhere: no such folder"),
        (["train", "cyclegan", "--resume"], "--resume: there is no run runs/cyclegan-N here"),
        (["train", "cyclegan", "--resume", "--out", "R"], "--resume: R is no run folder (config.toml is missing)"),
        (["train", "cyclegan", "--config", "no.toml"], "--config no.toml: cannot be read (No such file or directory)"),
        (["infer", "R", "--out", "o"], "INPUT is missing: photos, or their folders, or --list FILE"),
        (["infer", "R", "photos"], "--out is missing: folder for the results"),
        (["infer", "R", "photos", "--out", "O"], "R: no such model"),
        (["infer", "R", "photos", "--out", "O", "--format", "bmp"], "--format 'bmp': expected keep, png"),
        (["infer", "R", "photos", "--out", "O", "--batch", "0"], "--batch 0: expected a whole number >= 1"),
        (["export", "R", "-o", "m.safetensors"], "R: no such model"),
        (["inspect", "R"], "R: no such model"),
        (["sample", "R"], "nowhere to write: expected --grid FILE, --out PATH or both"),
        (["sample", "R", "--grid", "g.png", "-n", "0"], "--count 0: expected a whole number >= 1"),
        (
            ["sample", "R", "--grid", "g.png", "-n", "9", "--interpolate"],
            "--count 9 --interpolate: expected a multiple of 8",
        ),
        (["sample", "R", "--grid", "g.png", "-n", "x"], "--count x: expected a whole number >= 1"),
        (["train", "cyclegan", "--seed", "1", "--a", "x", "--seed=2"], "--seed: given more than once; expected once"),
        (["train", "cyclegan", "--flip", "--no-flip"], "--no-flip: given more than once"),
        (["train", "cyclegan", "--betas", "0", "0.9", "--betas", "0", "0.9"], "--betas: given more than once"),
        (["train", "cyclegan", "--out", "a", "--out", "b"], "--out: given more than once"),
        (["infer", "R", "photos", "--out", "a", "--out", "b"], "--out: given more than once"),
        (["sample", "R", "--grid", "g.png", "-n", "1", "--count", "2"], "--count: given more than once"),
        (["export", "R", "-o", "a", "--out", "b"], "--out: given more than once"),
        (["import", "f.pth", "-o", "a", "-o", "b"], "-o: given more than once"),
        (["plugins", "new", "toy", "--dir", "a", "--dir", "b"], "--dir: given more than once"),
        (["env", "--quiet", "--quiet"], "--quiet: given more than once"),
        (["train", "cyclegan", "--out", ""], '--out "": expected a path, or none'),
        (["train", "cyclegan", "--config", ""], '--config "": expected a list, each a path'),
        (["infer", "R", "photos", "--out", ""], '--out "": expected a path'),
        (["infer", "", "photos", "--out", "o"], 'MODEL "": expected a path'),
        (["infer", "R", "", "--out", "o"], 'INPUT "": expected a list, each a path'),
        (["export", "R", "-o", ""], '--out "": expected a path'),
        (
            ["train", "cyclegan", "--steps", "9" * 4000],
            "...: expected a whole number >= 1 and <= 10000",
        ),
        (["train", "cyclegan", "--seed", str(2**63)], ": expected a whole number >= 0"),
        (["plugins", "show", "cyclegam"], "no model is named 'cyclegam'"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert message in refused(capsys, *arguments)


@pytest.mark.parametrize("flag", ["--quux", "--pretrain", "--gpu", "--zzz"])
def test_a_flag_like_no_other_gets_no_hint(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    message = refused(capsys, "train", "srgan", flag, "x")
    assert message == f"No such option: {flag} (see gantk train srgan --help)"


def test_a_flag_whose_beginning_is_known_gets_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert "(did you mean --batch?)" in refused(capsys, "train", "srgan", "--batch-size", "4")
    assert "(did you mean --save-every?)" in refused(capsys, "train", "srgan", "--save", "4")


def test_a_list_may_follow_its_flag_and_other_flags_take_one_value(
    capsys: pytest.CaptureFixture[str], pictures: tuple[str, str], tmp_path: Path
) -> None:
    more = str(shutil.copytree(pictures[0], tmp_path / "more"))
    plan = ["train", "cyclegan", "--b", pictures[1], "--size", "32", "--device", "cpu", "--dry-run", "--json"]

    def samples(*words: str) -> int:
        return int(json.loads(shown(capsys, *plan, *words))["samples_per_epoch"])

    one = samples("--a", pictures[0])
    assert samples("--a", pictures[0], more) == samples("--a", pictures[0], "--a", more) == 2 * one
    assert "(stray)" in refused(capsys, *plan[:-1], "--a", pictures[0], "--seed", "1", "stray")


@pytest.mark.parametrize(
    "words",
    [["--batch", "9" * 12], ["--size", "999999"], ["--workers", "99999"], ["--cache-budget", "1e300"]],
)
def test_absurd_values_are_refused_at_the_door(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert f"{words[0]} {words[1]}: expected " in refused(capsys, "train", "cyclegan", "--a", "x", "--b", "y", *words)


def test_the_lists_of_commands_say_what_the_commands_say() -> None:
    from importlib import import_module

    from translate.cli.plugins import Plugins

    for group in (cli.Root, Plugins):
        for name, (module, text) in group.modules.items():
            command = import_module(f"translate.cli.{module}").command
            assert command.name == name
            assert (command.help or "").split()[:4] == text.split()[:4]


def test_wrong_usage_is_found_before_anything_slow_but_torch_is_imported() -> None:
    code = (
        "import sys; from translate.cli import app as cli; code = cli.run(sys.argv[1:]); "
        "print([m for m in ('torchvision', 'kornia', 'albumentations', 'scipy') if m in sys.modules]); sys.exit(code)"
    )
    arguments = ["train", "cyclegan", "--a", "nowhere", "--b", "y", "--device", "cpu"]
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 2
    assert result.stdout.strip() == "[]"
    assert result.stderr == "gantk: error: --a nowhere: no such folder\n"


def test_an_unknown_key_in_a_config_names_file_and_key(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, pictures: tuple[str, str]
) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[model]\ncylce = 3\n", encoding="utf-8")
    message = refused(capsys, "train", "cyclegan", *data(pictures), "--config", str(path))
    assert message == f"{path}: unknown key 'cylce' in [model] (did you mean cycle?)"


def test_an_error_is_a_record_with_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", "cyclegam", "--json"]) == 2
    record = json.loads(capsys.readouterr().out)
    assert record["exit_code"] == 2
    assert "cyclegam" in record["error"]


# --- errors of other kinds ---


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (GantkError("it broke"), 1, "gantk: error: it broke\n"),
        (ValueError("odd\nthing"), 1, "gantk: error: ValueError: odd thing (--debug shows where)\n"),
        (PermissionError(13, "Permission denied", "f"), 1, "gantk: error: [Errno 13] Permission denied: 'f'\n"),
        (KeyboardInterrupt(), 130, None),
    ],
)
def test_every_error_becomes_one_line_and_an_exit_code(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    line: str | None,
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("translate.cli.env.describe", fail)
    assert cli.run(["env"]) == code
    err = capsys.readouterr().err
    assert "Traceback" not in err
    if line is not None:
        assert err == line
        assert cli.run(["--debug", "env"]) == code
        assert "Traceback" in capsys.readouterr().err


# --- flags that every command takes ---


def test_shared_flags_may_stand_anywhere_but_behind_two_dashes() -> None:
    split = cli._shared_flags
    assert split(["train", "--json", "m", "--quiet"]) == (["--json", "--quiet"], ["train", "m"])
    assert split(["infer", "m", "--", "--json"]) == ([], ["infer", "m", "--", "--json"])


def test_no_plugins_limits_every_command(capsys: pytest.CaptureFixture[str], site: Path) -> None:
    install(site, "brown-tools")
    message = refused(capsys, "train", "sepia", "--no-plugins")
    assert message.startswith("plugin sepia (brown-tools 2.3) may not load")
    assert "sepia" not in shown(capsys, "--no-plugins", "train", "--help")


# --- plugins, env ---


def test_plugins_are_listed_with_all_there_is_to_know(capsys: pytest.CaptureFixture[str], site: Path) -> None:
    install(site, "brown-tools")
    install(site, "torn-tools", name="torn", module="stranger_torn", code="def broken(:\n")
    lines = shown(capsys, "plugins").splitlines()
    (sepia,) = (line for line in lines if line.startswith("sepia"))
    assert " ".join(sepia.split()) == (
        "sepia Brown pictures (a stranger, 2026). brown-tools 2.3 stranger_sepia:Sepia ready"
    )
    (torn,) = (line for line in lines if line.startswith("torn"))
    assert torn.endswith("broken: SyntaxError in stranger_torn.py, line 1")
    assert not [name for name in sys.modules if name.startswith("stranger_")]
    records = [json.loads(line) for line in shown(capsys, "plugins", "--json").splitlines()]
    assert {"name", "title", "distribution", "version", "entry point", "state"} == set(records[0])


def test_a_broken_plugin_breaks_only_its_own_commands(capsys: pytest.CaptureFixture[str], site: Path) -> None:
    install(site, "brown-tools", code="import sys\nprint('boo')\nsys.exit(5)\n")
    message = refused(capsys, "train", "sepia", "--help")
    assert message == "plugin sepia (brown-tools 2.3) cannot be imported: SystemExit: 5"
    assert "sepia" in shown(capsys, "train", "--help")
    assert "sepia" in shown(capsys, "plugins")
    assert "--cycle" in shown(capsys, "train", "cyclegan", "--help")


def test_what_a_plugin_says_at_import_is_shown_with_debug_alone(capsys: pytest.CaptureFixture[str], site: Path) -> None:
    install(site, "brown-tools", code=WORKING + "print('hear me')\n")
    assert cli.run(["plugins", "show", "sepia"]) == 0
    out, err = capsys.readouterr()
    assert "hear me" not in out + err
    del sys.modules["stranger_sepia"]
    assert cli.run(["plugins", "show", "sepia", "--debug"]) == 0
    out, err = capsys.readouterr()
    assert "hear me" in err
    assert "hear me" not in out


def test_a_builtin_wins_with_a_warning_on_stderr(capsys: pytest.CaptureFixture[str], site: Path) -> None:
    install(site, "brown-tools", name="cyclegan")
    assert cli.run(["plugins", "show", "cyclegan"]) == 0
    out, err = capsys.readouterr()
    assert "gantk_cyclegan:CycleGAN" in out
    assert err.startswith("gantk: warning: the built-in cyclegan is used")


def test_plugins_show(capsys: pytest.CaptureFixture[str], site: Path) -> None:
    install(site, "brown-tools")
    text = shown(capsys, "plugins", "show", "sepia")
    for part in ("brown-tools", "2.3", "fit: updates g", "--tint", "how brown (default 0.5; a number > 0)", "Unpaired"):
        assert part in text
    about = json.loads(shown(capsys, "plugins", "show", "sepia", "--json"))
    assert about["phases"] == {"fit": {"updates": ["g"], "every": 1, "repeat": 1}}
    assert about["networks"] == {"g": 12}
    assert "g: 12 parameters" in text
    assert about["flags"]["model"][0] == {
        "flag": "--tint",
        "expected": "a number > 0",
        "default": "0.5",
        "help": "how brown",
    }
    assert about["flags"]["data"][0]["default"] is None, "required"


def test_env(capsys: pytest.CaptureFixture[str]) -> None:
    about = json.loads(shown(capsys, "env", "--json"))
    for key in ("python", "system", "gantk", "torch", "cpu", "cpu capabilities", "cuda", "plugin gantk:cyclegan"):
        assert about[key]
    text = shown(capsys, "env")
    assert "torch" in text
    assert "not installed" not in text


# --- training, through a stranger's plugin ---


def test_a_strangers_model_trains_exports_and_inspects(
    capsys: pytest.CaptureFixture[str], site: Path, pictures: tuple[str, str]
) -> None:
    install(site, "brown-tools")
    assert cli.run(["train", "sepia", *small(pictures), "--steps", "3", "--log-every", "1", "--json"]) == 0
    out, err = capsys.readouterr()
    records = [json.loads(line) for line in out.splitlines()]
    assert [record["step"] for record in records[:-1]] == [1, 2, 3]
    assert all("fit/l1" in record for record in records[:-1])
    assert records[-1] == {"run": "runs/sepia-1", "model": "runs/sepia-1/model.safetensors"}
    assert "\x1b" not in err

    assert cli.run(["train", "sepia", *small(pictures), "--steps", "1", "--quiet"]) == 0
    assert sorted(path.name for path in Path("runs").iterdir()) == ["sepia-1", "sepia-2"]
    assert capsys.readouterr() == ("", "")

    # Going on needs nothing but the word: settings and data come from the run folder.
    assert cli.run(["train", "sepia", "--resume", "--out", "runs/sepia-1", "--steps", "4", "--quiet"]) == 0
    assert cli.run(["train", "sepia", "--resume", "--steps", "2", "--quiet"]) == 0
    assert (Path("runs/sepia-2/checkpoints/step-00000002.safetensors")).is_file()

    for name in ("one", "two"):
        assert cli.run(["export", "runs/sepia-1", "-o", f"{name}.safetensors", "--quiet"]) == 0
    assert Path("one.safetensors").read_bytes() == Path("two.safetensors").read_bytes()
    assert cli.run(["export", "runs/sepia-1", "-o", "raw.safetensors", "--weights", "raw", "--quiet"]) == 0
    assert cli.run(["export", "runs/sepia-1", "-o", "one.safetensors"]) == 2
    assert "exists already" in capsys.readouterr().err
    text = shown(capsys, "inspect", "one.safetensors", "--tensors")
    assert "sepia (brown-tools 2.3)" in text
    assert "a2b (a to b, multiple 1)" in text
    assert "g.weight  3 x 3 x 1 x 1  F32" in text
    card = json.loads(shown(capsys, "inspect", "one.safetensors", "--json"))
    assert card["step"] == 4
    assert card["source"]["resize"] == "resize"
    assert not {"a", "b"} & card["source"].keys()  # folders of this machine
    assert "3 (RGB)" in text
    assert "resize resize" in next(line for line in text.splitlines() if line.startswith("data flags"))
    assert card["tensors"]["g.bias"] == {"shape": [3], "dtype": "F32"}


def test_flags_go_over_the_config_and_this_over_the_recipe(
    capsys: pytest.CaptureFixture[str], site: Path, pictures: tuple[str, str], tmp_path: Path
) -> None:
    install(site, "brown-tools")
    path = tmp_path / "c.toml"
    path.write_text('plugin = "sepia"\n[model]\ntint = 0.25\nlr = 0.5\n[run]\nsteps = 9\nbatch = 1\n', encoding="utf-8")
    plan = ["train", "sepia", *small(pictures), "--config", str(path), "--dry-run", "--json"]
    assert json.loads(shown(capsys, *plan))["steps"] == 9
    assert json.loads(shown(capsys, *plan, "--steps", "5"))["steps"] == 5
    assert json.loads(shown(capsys, *plan, "--epochs", "2"))["steps"] == 6
    assert cli.run([*plan[:-2], "--epochs", "1", "--lr", "0.125", "--out", "R", "--quiet"]) == 0
    written = Path("R/config.toml").read_text(encoding="utf-8")
    for line in ('plugin = "sepia"', "tint = 0.25", "lr = 0.125", "epochs = 1", "batch = 1", "size = 16"):
        assert line in written.splitlines()


def test_dry_run_shows_the_plan_and_writes_nothing(
    capsys: pytest.CaptureFixture[str], site: Path, pictures: tuple[str, str]
) -> None:
    install(site, "brown-tools")
    assert cli.run(["train", "sepia", *small(pictures), "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    for line in (
        "samples per epoch  3",
        "steps              3",
        "parameters         g: 12",
        "phases             fit: g",
    ):
        assert line in err
    assert "nothing was written" in err
    assert list(Path().iterdir()) == []


def test_an_existing_run_is_never_overwritten(
    capsys: pytest.CaptureFixture[str], site: Path, pictures: tuple[str, str]
) -> None:
    install(site, "brown-tools")
    Path("R").mkdir()
    Path("R/note.txt").write_text("mine", encoding="utf-8")
    assert cli.run(["train", "sepia", *small(pictures), "--out", "R"]) == 2
    assert "--out R: exists already; add --resume" in capsys.readouterr().err
    assert [path.name for path in Path("R").iterdir()] == ["note.txt"]


def test_a_crash_in_a_plugins_step_names_plugin_and_distribution(
    capsys: pytest.CaptureFixture[str], site: Path, pictures: tuple[str, str]
) -> None:
    install(site, "brown-tools", code=WORKING.replace('return {"l1"', '1 / 0\n        return {"l1"'))
    assert cli.run(["train", "sepia", *small(pictures), "--out", "R"]) == 1
    err = capsys.readouterr().err
    assert re.search(r"gantk: error: plugin sepia \(brown-tools 2.3\) failed.*: ZeroDivisionError", err)
    assert "Traceback" not in err
    assert cli.run(["train", "sepia", *small(pictures), "--out", "R2", "--debug"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "stranger_sepia.py" in err


@pytest.mark.parametrize("method", ["def networks", "def phases", "def directions", "def a2b", "def lr_at"])
def test_a_crash_anywhere_in_a_plugin_names_it(
    capsys: pytest.CaptureFixture[str], site: Path, pictures: tuple[str, str], method: str
) -> None:
    code = WORKING + "    def lr_at(self, progress):\n        return 1.0\n"
    body = re.search(rf"{method}\(.*\):\n", code)
    assert body is not None
    install(site, "brown-tools", code=code[: body.end()] + "        raise OSError('of my own')\n" + code[body.end() :])
    assert cli.run(["train", "sepia", *small(pictures), "--steps", "1", "--out", "R"]) == 1
    err = capsys.readouterr().err
    assert re.search(r"gantk: error: plugin sepia \(brown-tools 2.3\) failed.*: OSError: of my own", err)


def test_the_number_of_a_new_run_comes_after_all_others() -> None:
    from translate.training.request import default_folder

    assert default_folder("toy", latest=False) == Path("runs/toy-1")
    for name in ("toy-2", "toy-10", "toy-x", "other-11"):
        (Path("runs") / name).mkdir(parents=True)
    assert default_folder("toy", latest=False) == Path("runs/toy-11")
    assert default_folder("toy", latest=True) == Path("runs/toy-10")
    assert default_folder("my:toy", latest=False) == Path("runs/my-toy-1")


def test_closed_streams_do_not_stop_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert cli.run(["--json", "plugins"]) == 0
    assert cli.run(["inspect", "nowhere.safetensors"]) == 2
