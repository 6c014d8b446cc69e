"""What `gantk compare` calls a difference, and what it refuses to compare."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from translate.cli import app as cli
from translate.errors import GantkError, UsageError
from translate.evaluation.compare import comparable, compare, latest, replicas
from translate.evaluation.recipe import recipe
from translate.evaluation.result import Figure, Result, write
from translate.metrics.bootstrap import student_95

Make = Callable[..., Result]


def figure(name: str, values: np.ndarray, *, paired: bool = True) -> Figure:
    half = 1.96 * values.std() / np.sqrt(len(values))
    each = {f"{number}.png": float(value) for number, value in enumerate(values)} if paired else None
    mean = float(values.mean())
    return Figure(name, mean, mean - half, mean + half, "higher" if name == "psnr" else "lower", each=each)


def result(name: str, *figures: Figure) -> Result:
    return Result({"path": name}, {"kind": "pairs", "size": 256}, figures)


HARD = np.random.default_rng(0).normal(28, 4, 40)
"""Some pictures are harder than others, for every model."""


def test_paired_figures_are_compared_picture_by_picture() -> None:
    noise = np.random.default_rng(1).normal(0, 0.05, 40)
    first = result("a", figure("psnr", HARD))
    better = result("b", figure("psnr", HARD + 0.2 + noise))
    same = result("c", figure("psnr", HARD + noise))
    verdicts = list(compare([first, better, same]))
    assert [verdict.words for verdict in verdicts] == ["better", "no difference beyond the noise"]
    assert all(verdict.paired for verdict in verdicts)
    assert verdicts[0].difference == pytest.approx(0.2, abs=0.03)
    (apart,) = compare([first, result("d", figure("psnr", HARD + 0.2, paired=False))])
    assert not apart.paired
    assert apart.words == "no difference beyond the noise"  # the same difference, in the noise of the pictures


def test_lower_is_better_where_it_is() -> None:
    first = result("a", Figure("fid", 50, 48, 52, "lower"))
    other = result("b", Figure("fid", 40, 38, 42, "lower"))
    (verdict,) = compare([first, other])
    assert verdict.words == "better"
    (verdict,) = compare([other, first])
    assert verdict.words == "worse"
    (verdict,) = compare([first, result("c", Figure("fid", 48, 46, 50, "lower"))])
    assert verdict.words == "no difference beyond the noise"


def test_what_is_not_alike_is_refused() -> None:
    first = result("a", figure("psnr", HARD))
    other = replace(first, setting={"kind": "pairs", "size": 128})
    with pytest.raises(UsageError, match="cannot be compared: size is 256 for a and 128 for a"):
        comparable([[first], [other]])
    assert comparable([[first, other], [first]]) == [first, first]
    fid = Figure("fid", 50, 48, 52, "lower", how="one network")
    with pytest.raises(UsageError, match="no figure was computed in the same way"):
        list(compare([result("a", fid), result("b", replace(fid, how="another network"))]))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = []
    for name, values in (("a", HARD), ("b", HARD + 1)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").touch()
        write(tmp_path / name / "evaluation.json", [result(name, figure("psnr", values))])
        files.append(str(tmp_path / name))
    assert cli.run(["compare", *files]) == 0
    assert "better" in capsys.readouterr().out
    assert cli.run(["compare", files[0], str(tmp_path / "b" / "evaluation.json")]) == 0
    capsys.readouterr()
    (tmp_path / "b" / "evaluation.json").unlink()
    assert cli.run(["compare", *files]) == 2
    assert "expected gantk evaluate" in capsys.readouterr().err
    assert cli.run(["compare", files[0]]) == 2
    assert "two or more runs" in capsys.readouterr().err
    with pytest.raises(GantkError, match="no such model"):
        latest(tmp_path / "none")


def of_run(name: str, recipe: str, seed: int, *figures: Figure) -> Result:
    return replace(result(name, *figures), model={"path": name, "recipe": recipe, "seed": seed})


def test_runs_of_other_seeds_say_how_much_training_varies() -> None:
    noise = np.random.default_rng(1).normal(0, 0.05, (4, 40))
    seeds = [of_run(f"a{k}", "a", k, figure("psnr", HARD + 0.3 * k + noise[k])) for k in range(3)]
    little = of_run("b", "b", 0, figure("psnr", HARD - 0.4 + noise[3]))
    much = of_run("c", "c", 0, figure("psnr", HARD - 4 + noise[3]))
    (alone,) = compare([seeds[0], little])
    assert alone.words == "worse"  # with a single run each, the pictures are all that is known
    words = [verdict.words for verdict in compare([*seeds, little, much])]
    assert words == ["no difference beyond the noise"] * 3 + ["worse"]
    again = [seeds[0], replace(seeds[0], model={**seeds[0].model, "path": "copy"}), much]
    assert replicas(again) == []
    spread = statistics.stdev([each["psnr"].value for each in seeds])
    (_, verdict) = compare(seeds)
    margin = verdict.interval.high - verdict.difference
    assert margin == pytest.approx(math.sqrt(2) * spread * 4.303, rel=0.01)


def test_a_recipe_is_all_but_the_seed(tmp_path: Path) -> None:
    def of(seed: int = 0, cycle: float = 10.0, workers: int = 2, files: str = "0.png") -> Mapping[str, Any]:
        run = f"seed = {seed}\nworkers = {workers}\nsteps = 5\n"
        (tmp_path / "config.toml").write_text(f'plugin = "x"\n[model]\ncycle = {cycle}\n[run]\n{run}')
        (tmp_path / "data.json").write_text(json.dumps({f"a/{files}": "1"}))
        return recipe(tmp_path / "model.safetensors")

    first = of()
    assert of(seed=1) == {"recipe": first["recipe"], "seed": 1}
    assert of(workers=4) == first
    for other in (of(cycle=0.0), of(files="1.png")):
        assert other["recipe"] != first["recipe"]
    assert recipe(tmp_path / "elsewhere" / "model.safetensors") == {}


@pytest.mark.parametrize(("freedom", "expected"), [(1, 12.706), (10, 2.228), (20, 2.086), (60, 2.0), (1000, 1.962)])
def test_student(freedom: int, expected: float) -> None:
    assert student_95(freedom) == pytest.approx(expected, rel=0.003)
