"""Every script of bench/ runs at its smallest, and prints what it was asked for. Times are never looked at."""

from __future__ import annotations

import importlib
import json
import math
import os
import pickle
import re
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image

from gantk_cyclegan import CycleGAN
from gantk_esrgan import ESRGAN
from gantk_srgan import SRGAN

BENCH = Path(__file__).resolve().parents[2] / "bench"
TINY: dict[str, dict[str, Any]] = {
    "cyclegan": {"width": 4, "blocks": 1},
    "pix2pix": {"width": 4},
    "dcgan": {"width": 4},
    "srgan": {"width": 4, "d_width": 4, "blocks": 1},
    "esrgan": {"width": 4, "d_width": 4, "blocks": 1, "growth": 4},
}

Run = Callable[..., str]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """A script of bench/ as a module; its siblings are found as when it is run."""
    monkeypatch.syspath_prepend(BENCH)
    return importlib.import_module


@pytest.fixture
def run(bench: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a script with flags in this process; what it prints, all figures in it finite."""

    def main(name: str, *words: object) -> str:
        module = bench(name)
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, words)])
        threads = torch.get_num_threads()
        capsys.readouterr()
        try:
            module.main()
        finally:
            torch.set_num_threads(threads)
        text = capsys.readouterr().out
        assert not re.search(r"\b(nan|inf|None)\b", text), text
        return text

    return main


def rows(text: str, start: str) -> list[list[str]]:
    """The cells of the lines that begin like this, which all have a figure above 0."""
    found = [line.split() for line in text.splitlines() if line.startswith(start)]
    for cells in found:
        assert any(float(number) > 0 for number in re.findall(r"\d+\.?\d*", " ".join(cells[1:]))), cells
    return found


def results(file: Path) -> list[dict[str, Any]]:
    """What --json wrote: each line names its bench, the machine and torch, and has no figure that is not finite."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} in {file}")

    found = [json.loads(line, parse_constant=refuse) for line in file.read_text(encoding="utf-8").splitlines()]
    assert all(result["machine"] and result["torch"] == torch.__version__ for result in found)
    return found


@pytest.fixture
def small(bench: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    """Training benches with tiny networks."""
    train = bench("train")
    for name, case in list(train.CASES.items()):
        monkeypatch.setitem(train.CASES, name, replace(case, settings={**case.settings, **TINY.get(name, {})}))


@pytest.fixture
def in_here(bench: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    """What should have a process of its own is only passed through pickle, as it would be on its way there."""

    def here(function: Callable[..., Any], *args: Any) -> Any:
        function, args = pickle.loads(pickle.dumps((function, args)))
        return function(*args)

    for name in ("growth", "infer"):
        monkeypatch.setattr(bench(name), "alone", here)


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders of two pictures."""
    folders = tmp_path / "a", tmp_path / "b"
    for folder in folders:
        folder.mkdir()
        for i in range(2):
            Image.effect_noise((40, 40), 60 + i).convert("RGB").save(folder / f"{i}.jpg")
    return folders


def test_every_script_is_listed_and_appends_json() -> None:
    listed = (BENCH.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for script in BENCH.glob("*.py"):
        text = script.read_text(encoding="utf-8")
        if "__main__" in text:
            assert f"| `{script.name}` |" in listed
            assert "--json" in text or "add_json(parser)" in text or "add_json(part)" in text


@pytest.mark.filterwarnings("ignore:input's size at dim=1")
def test_memory_layouts(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    words = ["--batches", 1, "--channels", 4, "--size", 8, "--rounds", 1, "--device", "cpu", "--json", file]
    text = run("layouts", *words)
    assert [len(rows(text, norm)) for norm in ("none", "batch", "instance", "torch instance")] == [1, 1, 1, 1]
    assert len(rows(run("layouts", *words, "--generator", "--size", 16), "generator")) == 1
    assert len(results(file)) == 5


def test_ways_to_average_gradients(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One process, which is this one; test_bench_ranks.py has two."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.setattr(torch.multiprocessing, "spawn", lambda work, args, nprocs: work(0, *args))
    file = tmp_path / "out.jsonl"
    words = ["--model", "dcgan", "--size", 32, "--width", 4, "--batch", 2, "--processes", 1, "--rounds", 1]
    text = run("ranks", *words, "--json", file)
    assert [len(rows(text, way)) for way in ("alone", "flat", "ddp  ", "ddp unused")] == [1, 1, 1, 1]
    assert len(results(file)) == 1


@pytest.mark.parametrize(
    ("model", "size"),
    [("cyclegan", 32), ("pix2pix", 64), ("dcgan", 32), ("srgan", 16), ("esrgan", 32), ("gan", 28)],
)
@pytest.mark.filterwarnings("ignore:input's size at dim=1")  # the reference's norms do not know their channels
@pytest.mark.usefixtures("small")
def test_a_training_step_beside_the_reference(run: Run, tmp_path: Path, model: str, size: int) -> None:
    file = tmp_path / "out.jsonl"
    text = run("train", model, "--sizes", size, "--batch", 2, "--rounds", 1, "--json", file)
    assert [cells[:4] for cells in rows(text, f"{model} ")] == [[model, str(size), "2", "fp32"]]
    (result,) = results(file)
    assert all(len(seconds) == 1 for seconds in result["seconds"].values())


def test_a_step_of_a_config_for_a_cpu(run: Run, bench: Callable[[str], ModuleType], tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    text = run("train", "gan", "wgan", "--cpu", "--batch", 2, "--rounds", 1, "--json", file)
    assert [cells[:2] for name in ("gan ", "wgan ") for cells in rows(text, name)] == [["gan", "28"], ["wgan", "32"]]
    assert [result["cpu_config"] for result in results(file)] == [True, True]
    # The last hundred steps: of a model of several stages, the last one.
    setup = bench("train").cpu_config("pix2pixhd", None, None)
    assert setup.task.coarse_steps + setup.task.alone_steps < setup.step == 400


def test_no_built_in_model_is_forgotten(bench: Callable[[str], ModuleType]) -> None:
    project = tomllib.loads((BENCH.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    models = set(project["entry-points"]["gantk.models"])
    train = bench("train")
    assert models == set(bench("reference").LOOPS) == set(train.CASES) == set(bench("cases").CASES)
    for name, case in train.CASES.items():
        for setup in (train.paper(name, case.size, None), train.cpu_config(name, None, None)):
            setup.task.networks(setup.data.spec)  # which refuses a size that they cannot have


@pytest.mark.usefixtures("small", "in_here")
def test_growth_of_a_step(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    words = ["--sizes", 32, 64, "--batches", 1, 2, "--rounds", 1, "--json", file]
    text = run("growth", "step", "cyclegan", *words)
    assert [cells[:2] for cells in rows(text, "32") + rows(text, "64")] == [
        ["32", "1"],
        ["32", "1"],
        ["32", "2"],
        ["64", "1"],
    ]
    assert [(found["size"], found["batch"]) for found in results(file)] == [(32, 1), (64, 1), (32, 2)]


@pytest.mark.parametrize("source", ["unpaired", "images"])
@pytest.mark.usefixtures("in_here")
def test_growth_of_the_data_path(run: Run, tmp_path: Path, source: str) -> None:
    file = tmp_path / "out.jsonl"
    words = ["--source", source, "--files", 4, 8, "--side", 16, "--size", 16, "--json", file]
    text = run("growth", "data", *words, "--device", "cpu", "--cache", "memory", "disk", "device", "off")
    for cache in ("memory", "disk ", "disk-kept", "device", "off"):
        assert [cells[1] for cells in rows(text, cache)] == ["4", "8"]
    assert len(results(file)) == 10


def test_generated_files_are_as_many_as_asked(bench: Callable[[str], ModuleType], tmp_path: Path) -> None:
    growth = bench("growth")
    growth.make_files(tmp_path / "many", 1001, 16)
    files = [path for path in (tmp_path / "many").rglob("*.jpg") if path.is_file()]
    assert len(files) == 1001
    assert max(path.stat().st_nlink for path in files) <= growth.LINKS


@pytest.mark.usefixtures("in_here")
def test_growth_of_inference(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    text = run("growth", "infer", "srgan", "--megapixels", 0.001, 0.002, "--tile", 16, "--json", file)
    assert len(rows(text, "whole")) == len(rows(text, "tile-16")) == 2
    assert [found["tile"] for found in results(file)] == ["off", "16", "off", "16"]


@pytest.mark.parametrize("more", [(), ("--norm", "--scale", 2)], ids=["plain", "norm"])
def test_a_picture_by_windows(run: Run, tmp_path: Path, more: tuple[object, ...]) -> None:
    file = tmp_path / "out.jsonl"
    text = run("windows", "--megapixels", 0.01, "--width", 2, "--every", 2, *more, "--json", file)
    assert len(rows(text, "peak, GB")) == 1
    (found,) = results(file)
    assert found["side"] == 100
    assert found["peak"] >= found["start"] > 0


def test_tiles_beside_the_whole(
    run: Run, bench: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tiny = {
        "cyclegan": lambda: CycleGAN(**TINY["cyclegan"]),
        "srgan": lambda: SRGAN(perceptual="none", **TINY["srgan"]),
        "esrgan": lambda: ESRGAN(**TINY["esrgan"]),
    }
    models = bench("infer").MODELS
    for name, make in tiny.items():
        monkeypatch.setitem(models, name, (make, models[name][1]))
    file = tmp_path / "out.jsonl"
    text = run("tiles", *tiny, "--side", 80, "--tile", 16, "--rounds", 1, "--json", file)
    for name in tiny:
        assert len(rows(text, name)) == 1
    for result in results(file):
        assert result["tiles"] > 1
        # Every pixel is computed at least once, and tiles overlap.
        assert result["computed"] > 1
        assert 0 <= result["apart"] <= 1
        assert 0 <= result["differ"] < 0.02


@pytest.mark.usefixtures("in_here")
def test_folder_inference_and_one_large_photo(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    words = ["--network", "srgan", "--json", file]
    text = run("infer", *words, "--side", 16, "--count", 1, "--rounds", 1)
    for row in ("plain loop", "infer", "ratio", "share of decode", "share of network", "share of encode"):
        assert len(rows(text, row)) == 1
    text = run("infer", *words, "--megapixels", 0.001)
    assert len(rows(text, "peak")) == len(rows(text, "seconds")) == 1
    assert [found["bench"] for found in results(file)] == ["infer", "infer memory"]


def test_one_forward_beside_other_engines(run: Run, tmp_path: Path) -> None:
    """Without the others, which are no dependencies: fp32 and bf16 differ by what bf16 rounds."""
    file = tmp_path / "out.jsonl"
    text = run("engines", "srgan", "--side", 8, "--rounds", 1, "--json", file, "--engines")
    assert len(rows(text, "torch, fp32")) == len(rows(text, "torch, bf16")) == 1
    (result,) = results(file)
    assert result["difference"]["torch, fp32"] == 0
    assert 0 < result["difference"]["torch, bf16"] < 0.1


def test_the_data_path(run: Run, pictures: tuple[Path, Path], tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    words = ["--a", pictures[0], "--b", pictures[1], "--size", 16, "--rounds", 1, "--pairs", 1, "--json", file]
    text = run("data", *words)
    caches = ["ours, memory cache", "ours, disk cache", "ours, device cache"]
    names = ["Pillow + torchvision", "ours, cold", *caches, "ours, cold, tar"]
    assert all(rows(text, name) for name in names)
    assert [found["pipeline"] for found in results(file)] == names


def test_startup(run: Run, bench: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    startup = bench("startup")
    monkeypatch.setattr(startup, "PLUGINS", 1)
    shown = ["python -c pass", "gantk plugins"]
    monkeypatch.setattr(startup, "COMMANDS", {name: startup.COMMANDS[name] for name in shown})
    file = tmp_path / "out.jsonl"
    text = run("startup", "--runs", 1, "--json", file)
    for command in shown:
        assert len(rows(text, command)) == 1
    assert [(found["command"], found["strangers"]) for found in results(file)] == [
        (command, count) for command in shown for count in (0, 1)
    ]


def test_the_frechet_distance_of_two_normal_distributions(bench: Callable[[str], ModuleType]) -> None:
    """Features drawn so that their means and covariances are exactly the wanted ones."""
    frechet = bench("precision").frechet
    generator = torch.Generator().manual_seed(0)

    def features(mean: torch.Tensor, root: torch.Tensor) -> torch.Tensor:
        x = torch.randn(500, len(mean), generator=generator, dtype=torch.float64)
        x -= x.mean(0)
        white = x @ torch.linalg.inv(torch.linalg.cholesky(x.T.cov())).T
        return white @ root.T + mean

    zero, mean = torch.zeros(3).double(), torch.tensor([1.0, -2.0, 0.5]).double()
    deviations = torch.tensor([0.5, 1.0, 3.0]).double(), torch.tensor([2.0, 1.0, 0.1]).double()
    turn = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64)).Q
    first, second = (features(at, turn @ s.diag()) for at, s in zip((zero, mean), deviations, strict=True))
    # Covariances that commute: squared distance of the means, and of the standard deviations.
    expected = float(mean.square().sum() + (deviations[0] - deviations[1]).square().sum())
    assert frechet(first, second) == pytest.approx(expected, rel=1e-9)
    assert frechet(first, first) == pytest.approx(0, abs=1e-6)


def test_the_bf16_study_weighs_the_seeds(bench: Callable[[str], ModuleType]) -> None:
    precision = bench("precision")
    found = {"fp32": (1.0, 2.0), "bf16": (1.5, 1.6)}
    scores = {name: [{"L1": value, "SSIM": value} for value in values] for name, values in found.items()}
    line = precision.verdict(scores, "L1")
    assert "fp32 1.0000 2.0000" in line
    # Variances 0.5 and 0.005, of two runs each: the root of 0.2525.
    assert "worse by +0.0500 (standard error 0.5025), seeds apart by 1.0000" in line
    assert "worse by -0.0500" in precision.verdict(scores, "SSIM")


def test_a_process_of_its_own_has_its_own_peak(bench: Callable[[str], ModuleType]) -> None:
    tables = bench("tables")
    assert tables.alone(os.getpid) != os.getpid()
    assert tables.alone(tables.peak_bytes) < tables.peak_bytes()
    assert tables.peak_bytes() > tables.MIB


def test_turns_are_taken_and_the_warm_up_is_left_out(bench: Callable[[str], ModuleType]) -> None:
    tables = bench("tables")
    turns: list[str] = []
    times = tables.take_turns({"a": lambda: turns.append("a"), "b": lambda: turns.append("b")}, 2)
    assert turns == ["a", "b"] * 3
    assert {name: len(seconds) for name, seconds in times.items()} == {"a": 2, "b": 2}


def test_growth_is_cost_per_work(bench: Callable[[str], ModuleType]) -> None:
    tables = bench("tables")
    assert tables.growth([1, 2, 8], [10, 20, 40]) == ["1.00", "1.00", "2.00"]
    assert tables.growth([0, 2], [10, 20]) == ["-", "-"]
    assert tables.spread([3.0, 1.0, 2.0], 1, 10) == "20.0 (10.0 to 30.0)"
    assert math.isfinite(tables.peak_bytes())
