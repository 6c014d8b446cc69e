"""Dataclass fields as flags and config keys: every type, every limit, every mistake, and the way back to TOML."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Lt

from translate import config as flags
from translate.errors import UsageError
from translate.fields import Field, fields_of
from translate.settings import Run


@dataclass(frozen=True, kw_only=True)
class Everything:
    """One field of each kind."""

    folder: Annotated[Path, "a required folder"]
    count: Annotated[int, "a count", Ge(1)] = 3
    rate: Annotated[float, "a rate", Gt(0), Lt(1)] = 0.5
    limit: Annotated[int | None, "a limit", Ge(1)] = None
    text: str = ""
    fast: Annotated[bool, "be fast"] = False
    sharp: Annotated[bool | None, "be sharp [yes when slow]"] = None
    mode: Annotated[Literal["slow", "quick"], "how"] = "slow"
    side: Annotated[Literal[4, 5], "which"] = 4
    pair: tuple[float, Annotated[float, Lt(1)]] = (0.5, 0.9)
    names: tuple[str, ...] = ()
    folders: tuple[Path, ...] = ()
    weights: Annotated[Mapping[str, float], "by name"] | None = None
    boxes: tuple[tuple[int, str], ...] = ()


def of(name: str) -> Field:
    return {field.name: field for field in fields_of(Everything, "model")}[name]


@pytest.mark.parametrize(
    ("name", "words", "value"),
    [
        ("folder", "some where", Path("some where")),
        ("count", "7", 7),
        ("rate", "1e-4", 1e-4),
        ("limit", "5", 5),
        ("limit", "none", None),
        ("text", "none", "none"),
        ("mode", "quick", "quick"),
        ("side", "5", 5),
        ("pair", ("0.1", "0.2"), (0.1, 0.2)),
        ("names", ["b", "a"], ("b", "a")),
        ("folders", ["x", "y"], (Path("x"), Path("y"))),
    ],
)
def test_words_become_values(name: str, words: Any, value: object) -> None:
    assert of(name).from_words(words) == value


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("count", "0", "--count 0: expected a whole number >= 1"),
        ("count", "many", "--count many: expected a whole number >= 1"),
        ("count", "1.5", "--count 1.5: expected a whole number >= 1"),
        ("rate", "1", "--rate 1: expected a number > 0 and < 1"),
        ("rate", "nan", "--rate nan: expected a number > 0 and < 1"),
        ("rate", "inf", "--rate inf: expected a number > 0 and < 1"),
        ("limit", "0", "--limit 0: expected a whole number >= 1, or none"),
        ("mode", "Quick", "--mode Quick: expected one of slow, quick"),
        ("side", "6", "--side 6: expected one of 4, 5"),
        ("pair", ("1", "1"), "--pair 1 1: expected 2 values (a number, a number < 1)"),
    ],
)
def test_a_wrong_word_names_flag_value_and_what_was_expected(name: str, words: Any, message: str) -> None:
    with pytest.raises(UsageError) as error:
        of(name).from_words(words)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("folder", "x", Path("x")),
        ("rate", 0.25, 0.25),
        ("pair", [0, 0.5], (0.0, 0.5)),
        ("fast", True, True),
        ("sharp", False, False),
        ("sharp", "none", None),
        ("limit", "none", None),
        ("side", 5, 5),
        ("folders", ["x"], (Path("x"),)),
        ("weights", {"a": 1}, {"a": 1.0}),
    ],
)
def test_config_values(name: str, given: object, value: object) -> None:
    assert of(name).from_config(given, "c.toml: model.x") == value


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("count", "300", 'c.toml: model.x = "300": expected a whole number >= 1'),
        ("count", True, "c.toml: model.x = true: expected a whole number >= 1"),
        ("count", 2.0, "c.toml: model.x = 2.0: expected a whole number >= 1"),
        ("rate", "0.5", 'c.toml: model.x = "0.5": expected a number > 0 and < 1'),
        ("fast", 1, "c.toml: model.x = 1: expected true or false"),
        ("sharp", 1, "c.toml: model.x = 1: expected true or false, or none"),
        ("text", 3, "c.toml: model.x = 3: expected text"),
        ("names", "abc", 'c.toml: model.x = "abc": expected a list, each text'),
        ("pair", [0.1], "c.toml: model.x = [0.1]: expected 2 values (a number, a number < 1)"),
        ("folder", "", 'c.toml: model.x = "": expected a path'),
        ("folders", ["x", ""], 'c.toml: model.x = ["x", ""]: expected a list, each a path'),
        ("folder", "a\0b", 'c.toml: model.x = "a\\u0000b": expected a path'),
        ("count", 2**63, "c.toml: model.x = 9223372036854775808: expected a whole number >= 1"),
        ("weights", 3, "c.toml: model.x = 3: expected a table, each value a number, or none"),
        ("weights", {"a": "b"}, 'c.toml: model.x = {"a": "b"}: expected a table, each value a number, or none'),
        ("boxes", [[1]], "c.toml: model.x = [[1]]: expected a list, each a list of a whole number, text"),
        ("count", {"a": 1}, 'c.toml: model.x = {"a": 1}: expected a whole number >= 1'),
    ],
)
def test_config_types_are_strict(name: str, given: object, message: str) -> None:
    with pytest.raises(UsageError) as error:
        of(name).from_config(given, "c.toml: model.x")
    assert str(error.value) == message


def test_flags_of_a_field() -> None:
    assert of("fast").flags == ("--fast", "--no-fast")
    assert of("sharp").flags == ("--sharp", "--no-sharp"), "given or not, the model knows"
    assert of("folder").flags == ("--folder",)
    assert of("weights").flags == (), "a mapping is a config key without a flag"
    run = {field.name: field for field in fields_of(Run, "run")}
    assert run["cache_budget"].flag == "--cache-budget"


def test_build_names_the_missing_flag_and_keeps_the_models_own_message() -> None:
    fields = fields_of(Everything, "data")
    with pytest.raises(UsageError, match="--folder is missing: a required folder"):
        flags.build(Everything, fields, {}, "toy")
    assert flags.build(Everything, fields, {"folder": Path("x")}, "toy") == Everything(folder=Path("x"))
    with pytest.raises(UsageError, match="--accumulate 2 does not divide --batch 3"):
        flags.build(Run, fields_of(Run, "run"), {"batch": 3, "accumulate": 2}, "toy")


def tables() -> dict[str, list[Field]]:
    return {"data": [], "model": fields_of(Everything, "model"), "run": fields_of(Run, "run", Run(steps=50))}


def config(tmp_path: Path, text: str) -> flags.Layer:
    path = tmp_path / "c.toml"
    path.write_text(text, encoding="utf-8")
    return flags.read_config(path, tables(), "toy")


def test_a_config_is_read(tmp_path: Path) -> None:
    layer = config(tmp_path, 'plugin = "toy"\n[model]\nfolder = "x"\ncount = 4\n[run]\nepochs = 2\n')
    assert layer == {"model": {"folder": Path("x"), "count": 4}, "run": {"epochs": 2}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[model]\ncuont = 4\n", r"c.toml: unknown key 'cuont' in \[model\] \(did you mean count\?\)"),
        ("[model]\nepochs = 4\n", r"c.toml: unknown key 'epochs' in \[model\] \(it belongs in \[run\]\)"),
        ("epochs = 4\n", r"c.toml: unknown key 'epochs' \(it belongs in \[run\]\)"),
        ("[modle]\ncount = 4\n", r"c.toml: unknown table 'modle' \(did you mean model\?\)"),
        ("run = 3\n", r"c.toml: run = 3: expected a table, \[run\]"),
        ('plugin = "other"\n', "c.toml: plugin = \"other\", but the command trains 'toy'"),
        ("[run]\nsteps = 3\nepochs = 4\n", "c.toml: run.steps and run.epochs exclude each other"),
        ("[run]\nema = 0.9\nema_images = 4\n", "c.toml: run.ema_images and run.ema exclude each other"),
        ("[run]\nsteps = 1979-05-27\n", 'c.toml: run.steps = "1979-05-27": expected a whole number >= 1'),
        ("[run\n", "c.toml: not valid TOML"),
        ("[run]\nsteps = 3\nsteps = 4\n", "c.toml: not valid TOML"),
    ],
)
def test_a_wrong_config_names_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        config(tmp_path, text)
    assert "\n" not in str(error.value)


def test_a_config_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r".*nope.toml: cannot be read \(No such file"):
        flags.read_config(tmp_path / "nope.toml", tables(), "toy")
    (tmp_path / "latin.toml").write_bytes(b'plugin = "\xe9"\n')
    with pytest.raises(UsageError, match=r"latin.toml: not valid TOML \(no UTF-8 text from its byte 10 on\)"):
        flags.read_config(tmp_path / "latin.toml", tables(), "toy")


def test_hostile_toml_is_refused_in_one_line_and_no_time(tmp_path: Path) -> None:
    hostile = {
        "nested": "x=" + "[" * 50_000 + "]" * 50_000,
        "tables": "x=" + "{a=" * 50_000 + "1" + "}" * 50_000,
        "digits": "[run]\nsteps=1" + "0" * 5_000,
        "number": "[run]\nsteps=1" + "0" * 4_000,
        "deep key": ".".join("a" * 50_000) + " = 1\n",
        "deep table": "[" + ".".join("a" * 50_000) + "]\n",
        "deep inline": "x = {y=1, " + ".".join("a" * 50_000) + " = 1}\n",
        "spaced": " . ".join('"a"' for _ in range(50_000)) + " = 1\n",
        "many keys": "[model]\n" + "".join(f"a.b.k{i} = 1\n" for i in range(50_000)),
        "large": "#" * (5 << 20),
    }
    for name, text in hostile.items():
        before = time.process_time()
        with pytest.raises(UsageError, match=r"c\.toml: ") as error:
            config(tmp_path, text)
        assert time.process_time() - before < 1, name
        assert len(str(error.value)) < 400 + len(str(tmp_path)), name


def test_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("\ufeff[run]\nepochs = 2\n", encoding="utf-8")
    assert flags.read_config(path, tables(), "toy") == {"run": {"epochs": 2}}


def length(*layers: flags.Layer) -> tuple[int | None, int]:
    run = flags.build(Run, tables()["run"], flags.merge(layers)["run"], "toy")
    return run.steps, run.epochs


def test_later_layers_win_and_one_length_replaces_the_other() -> None:
    assert flags.merge([{"run": {"batch": 2, "seed": 1}}, {"run": {"batch": 4}}])["run"] == {"batch": 4, "seed": 1}
    assert length() == (50, 200), "the recipe has steps"
    assert length({"run": {"epochs": 3}}) == (None, 3)
    assert length({"run": {"epochs": 3}}, {"run": {"steps": 9}})[0] == 9
    assert length({"run": {"steps": 9}}, {"run": {"epochs": 3}}) == (None, 3)
    with pytest.raises(UsageError, match="--steps and --epochs exclude each other"):
        flags.merge([{"run": {"steps": 9, "epochs": 3}}])


def test_an_average_is_stated_per_step_or_by_pictures_and_the_later_way_holds() -> None:
    def average(*layers: flags.Layer) -> Run:
        return flags.build(Run, tables()["run"], flags.merge(layers)["run"], "toy")

    by_step, by_images = {"run": {"ema": 0.5, "batch": 8}}, {"run": {"ema_images": 4}}
    assert average().decay == Run().ema
    assert average(by_step, by_images).decay == 0.25, "half of it after 4 pictures, a quarter after a batch of 8"
    assert average(by_images, by_step).decay == 0.5
    with pytest.raises(UsageError, match="--ema-images and --ema exclude each other"):
        flags.merge([{"run": {"ema": 0.5, "ema_images": 4}}])


NASTY = [
    "",
    "plain",
    'quo"te',
    "back\\slash",
    "C:\\new\\table",
    "tab\tnew\nline\r\f\b",
    "\x00\x01\x1f\x7f",
    "'''\"\"\"",
    "żółć 画 🐴 \u2028 \u200f",
    "# no comment",
    "[no.table]",
    " spaces ",
    "none",
    "true",
    "\\u0041",
]


@pytest.mark.parametrize("text", NASTY)
def test_nasty_strings_survive_toml(text: str) -> None:
    content = {"top": text, "table": {"key": text, "list": [text, text], text: {text: text}, "path": Path("a" + text)}}
    written = flags.to_toml(content)
    read = tomllib.loads(written)
    assert read["top"] == text
    assert read["table"]["list"] == [text, text]
    assert read["table"][text] == {text: text}
    assert read["table"]["path"] == str(Path("a" + text))


@pytest.mark.parametrize("number", [0, -1, 10**18, 0.1, 1e-5, -2.5e30, 1e16, 2e-4, True, False])
def test_numbers_survive_toml(number: float) -> None:
    read = tomllib.loads(flags.to_toml({"x": number}))["x"]
    assert read == number
    assert type(read) is type(number)


def test_what_toml_cannot_say_is_an_error() -> None:
    with pytest.raises(UsageError, match="not valid Unicode"):
        flags.to_toml({"x": "a\udcffb"})
    with pytest.raises(TypeError, match="no form in TOML"):
        flags.to_toml({"x": object()})


@pytest.mark.parametrize(
    "run", [Run(), Run(steps=7, epochs=9, clip=0.5), Run(epochs=4, cache="disk"), Run(ema_images=9)]
)
def test_the_resolved_config_asks_for_the_same_run(tmp_path: Path, run: Run) -> None:
    from gantk_cyclegan import CycleGAN
    from translate.data.unpaired import Unpaired

    task, source = CycleGAN(cycle=3.5, blocks=None), Unpaired(a=(Path("hor ses"),), b=(Path("/z"),))
    path = tmp_path / "config.toml"
    path.write_text(flags.resolved_toml("cyclegan", source, task, run), encoding="utf-8")
    fields = {
        "data": fields_of(Unpaired, "data"),
        "model": fields_of(CycleGAN, "model"),
        "run": fields_of(Run, "run", Run(steps=1, batch=5, clip=9.0)),
    }
    merged = flags.merge([flags.read_config(path, fields, "cyclegan")])
    again = flags.build(Run, fields["run"], merged["run"], "cyclegan")
    assert again.steps == run.steps
    assert again.total_steps(1000) == run.total_steps(1000)
    assert again.clip == run.clip
    assert again.cache == run.cache
    assert flags.build(CycleGAN, fields["model"], merged["model"], "cyclegan") == task
    data = flags.build(Unpaired, fields["data"], merged["data"], "cyclegan")
    assert data.a == (Path.cwd() / "hor ses",)
    assert data.b == (Path("/z").absolute(),)


def test_paths_of_the_model_are_resolved_too() -> None:
    from gantk_srgan import SRGAN
    from translate.data.lowhigh import LowHigh

    task = SRGAN(vgg_weights=Path("vgg19.pth"))
    resolved = tomllib.loads(flags.resolved_toml("srgan", LowHigh(hr=(Path("hr"),)), task, Run()))
    assert resolved["model"]["vgg_weights"] == str(Path.cwd() / "vgg19.pth")
    assert resolved["data"]["lr_images"] == []
