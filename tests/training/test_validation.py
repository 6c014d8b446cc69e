"""Held-out pictures: never trained on, judged every so often, and the best step kept."""

from __future__ import annotations

import gzip
import json
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from toy import Toy, toy_data
from translate import distributed
from translate.cli import app as cli
from translate.contract import Dataset, Loading, Source
from translate.data.images import Images
from translate.data.lowhigh import LowHigh
from translate.data.paired import Paired
from translate.data.unpaired import Unpaired
from translate.distributed import World
from translate.errors import UsageError
from translate.holdout import Part
from translate.metrics.restoration import l1
from translate.modelfile.model import load_published
from translate.settings import Run
from translate.training.engine import Engine
from translate.training.validation import Validation

NAMES = [f"{number:03d}" for number in range(40)]


def write(folder: Path, suffix: str = ".png", side: int = 16, add: int = 0) -> Path:
    """Pictures of one shade each, by which they are known again."""
    folder.mkdir()
    for number, name in enumerate(NAMES):
        Image.new("RGB", (side, side), (5 * number + add,) * 3).save(folder / f"{name}{suffix}")
    return folder


def shades(dataset: Dataset, name: str) -> set[int]:
    rng = np.random.default_rng(0)
    found = set()
    for index in range(3 * len(dataset)):
        sample = dataset.sample(index % len(dataset), rng)[name]
        found.add(round(float(sample.float().mean())) // 5)
    return found


def parts(source: Source) -> Iterator[Dataset]:
    for side in ("train", "val"):
        yield source.open(Loading(size=16, part=Part(side, 0.3)))  # type: ignore[arg-type]


def test_names_decide() -> None:
    train, val = Part("train", 0.25), Part("val", 0.25)
    names = [f"sub/{number}.png" for number in range(2000)]
    assert all(train.has(name) != val.has(name) for name in names)
    assert 430 < sum(map(val.has, names)) < 570
    assert all(val.has(name) == val.has(name.replace(".png", ".jpeg")) for name in names)
    assert [Part("val", 0.5).has(name) for name in names if val.has(name)] == [True] * sum(map(val.has, names))


def test_nothing_held_out_is_trained_on(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a"), write(tmp_path / "b", ".jpg", add=2)
    low = write(tmp_path / "low", "x4.png", side=4)
    sources: list[tuple[Source, tuple[str, ...]]] = [
        (Unpaired(a=(a,), b=(b,), flip=False), ("a", "b")),
        (Paired(a=(a,), b=(b,), flip=False), ("a", "b")),
        (LowHigh(hr=(a,), lr_images=(low,)), ("low", "high")),
        (LowHigh(hr=(a,)), ("low", "high")),
        (Images(images=(a,)), ("image",)),
    ]
    for source, names in sources:
        train, val = parts(source)
        for name in names:
            assert not shades(train, name) & shades(val, name)
            if not isinstance(source, Unpaired):
                assert shades(train, name) | shades(val, name) == set(range(40))
        if len(names) == 2 and source.pairs:
            rng = np.random.default_rng(0)
            for index in range(len(val)):
                means = [round(float(val.sample(index, rng)[name].float().mean())) // 5 for name in names]
                assert means[0] == means[1]


def test_pictures_without_names_cannot_be_split(tmp_path: Path) -> None:
    pixels = np.zeros((10, 16, 16), np.uint8)
    header = b"\0\0\x08\x03" + b"".join(int(side).to_bytes(4, "big") for side in pixels.shape)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + pixels.tobytes()))
    with pytest.raises(UsageError, match="holds no names to split by"):
        next(parts(Images(images=(tmp_path,))))


def test_figure_of_pairs_is_that_of_a_plain_loop(tmp_path: Path) -> None:
    source = Paired(a=(write(tmp_path / "a", side=8),), b=(write(tmp_path / "b", side=8, add=30),), flip=False)
    dataset = source.open(Loading(size=8))
    engine = Engine(Toy(), toy_data(), Run(batch=4))
    validation = Validation(engine, dataset, pairs=True, seed=0)
    expected = []
    with torch.inference_mode():
        for index in range(len(dataset)):
            sample = dataset.sample(index, np.random.default_rng(0))
            x, target = (sample[name][None].float() / 127.5 - 1 for name in ("a", "b"))
            expected.append(l1(engine.nets.g(x).tanh(), target).item())
    numbers = validation.numbers()
    assert numbers["eval/l1"] == pytest.approx(np.mean(expected), abs=1e-5)
    assert numbers == validation.numbers()


@pytest.mark.parametrize("pairs", [True, False])
def test_processes_judge_their_shares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pairs: bool) -> None:
    """Three processes: each runs its batches alone, and the figure is that of one process."""
    source = Paired(a=(write(tmp_path / "a", side=8),), b=(write(tmp_path / "b", side=8, add=30),), flip=False)
    dataset = source.open(Loading(size=8))
    engine = Engine(Toy(), toy_data(), Run(batch=3))
    alone = Validation(engine, dataset, pairs=pairs, seed=0).numbers()
    sent: list[list[np.ndarray]] = []
    monkeypatch.setattr(distributed, "gather_arrays", lambda own, world: [sent.append(own)] and [own])
    for rank in range(3):
        engine.world = World(rank=rank, size=3)
        Validation(engine, dataset, pairs=pairs, seed=0).numbers()
    calls = len(sent) // 3  # the real pictures of sets are shared as well
    assert [len(own) for own in sent] == [2] * calls + [2] * calls + [1] * calls  # of 40 samples, 8 at a time
    turn = iter(range(calls))
    monkeypatch.setattr(distributed, "gather_arrays", lambda own, world, of=lambda k: sent[k::calls]: of(next(turn)))
    engine.world = World(rank=0, size=3)
    assert Validation(engine, dataset, pairs=pairs, seed=0).numbers() == pytest.approx(alone, abs=1e-6)


def test_the_best_step_is_followed(tmp_path: Path) -> None:
    dataset = Images(images=(write(tmp_path / "a", side=8),)).open(Loading(size=8))
    validation = Validation(Engine(Toy(), toy_data(), Run(batch=4)), dataset, pairs=False, seed=0)
    values = (5.0, 3.0, 4.0, 3.0, 2.0)
    better = [validation.follow({"step": 10 * k, "eval/frechet": value}) for k, value in enumerate(values)]
    assert better == [True, True, False, False, True]
    assert validation.best is not None
    assert (validation.best.step, validation.best.since) == (40, 0)
    assert not validation.follow({"step": 41, "loss": 0.0})


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in NAMES[:24]:
            pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    folders = ["--a", str(tmp_path / "a"), "--b", str(tmp_path / "b")]
    small = ["--size", "16", "--width", "2", "--blocks", "1", "--patch-layers", "0", "--pool", "0", "--workers", "0"]
    pace = ["--log-every", "3", "--save-every", "4", "--device", "cpu", "--precision", "fp32", "--lr", "0.01"]
    return ["train", "cyclegan", *folders, *small, *pace, "--evaluate-every", "4", "--val-share", "0.4"]


def metrics(out: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{k: v for k, v in line.items() if k not in ("images_per_s", "waiting", "memory_gib")} for line in lines]


@pytest.mark.parametrize("apart", [False, True], ids=["share", "folder"])
def test_a_run_keeps_its_best_and_resumes_exactly(
    apart: bool, command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    if apart:
        write(tmp_path / "testA", add=1)
        write(tmp_path / "testB", add=2)
        command += ["--val", str(tmp_path)]
    assert cli.run([*command, "--out", str(straight), "--steps", "12"]) == 0
    assert "held out, step 8: frechet" in capsys.readouterr().err
    judged = {int(line["step"]): line["eval/frechet"] for line in metrics(straight) if "eval/frechet" in line}
    assert list(judged) == [4, 8, 12]
    best = min(judged, key=lambda step: judged[step])
    assert load_published(straight / "best.safetensors").card.step == best
    assert load_published(straight / "model.safetensors").card.step == 12

    shutil.copytree(straight, broken)
    (broken / "checkpoints" / "step-00000012.safetensors").unlink()
    assert cli.run([*command, "--out", str(broken), "--steps", "12", "--resume"]) == 0
    assert "resuming after step 8" in capsys.readouterr().err
    assert metrics(broken) == metrics(straight)
    for name in ("best.safetensors", "model.safetensors"):
        assert (broken / name).read_bytes() == (straight / name).read_bytes()
    if apart:
        assert tomllib.loads((straight / "config.toml").read_text())["data"]["val"] == str(tmp_path)
        recorded = json.loads((straight / "data.json").read_text())["files"]
        assert {name.rpartition("/")[0] for name in recorded} == {"a", "b", "val/a", "val/b"}


def test_patience(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = iter((5.0, 4.0, 6.0, 7.0, 1.0))
    monkeypatch.setattr(Validation, "numbers", lambda self: {"eval/frechet": next(values), "eval/frechet_error": 0.5})
    out = tmp_path / "run"
    assert cli.run([*command, "--out", str(out), "--steps", "40", "--patience", "2"]) == 0
    assert "stopped at step 16: no better evaluation in 2 (--patience)" in capsys.readouterr().err
    assert load_published(out / "best.safetensors").card.step == 8
    assert load_published(out / "model.safetensors").card.step == 16
    assert cli.run(["train", "cyclegan", "--a", "x", "--b", "y", "--patience", "2"]) == 2
    assert "--patience goes with --evaluate-every" in capsys.readouterr().err
