"""`--minutes`: as many steps as there is time for, fixed on the first steps and noted in the run folder."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from toy import Toy, toy_data
from translate.cli import app as cli
from translate.modelfile.model import load_published
from translate.settings import Run
from translate.training import loop, pace
from translate.training.engine import Engine


def test_the_first_steps_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, taken = [0.0], []

    def step() -> None:
        taken.append(clock[0])
        clock[0] += 10.0 if len(taken) <= pace.WARM_UP else 0.5

    monkeypatch.setattr(pace.time, "monotonic", lambda: clock[0])
    engine = Engine(Toy(), toy_data(), Run(batch=4))
    assert pace.seconds_per_step(step, engine) == pytest.approx(0.5)
    assert len(taken) == pace.WARM_UP + pace.TIMED


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(8):
            pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    folders = ["--a", str(tmp_path / "a"), "--b", str(tmp_path / "b"), "--out", str(tmp_path / "run")]
    small = ["--size", "16", "--width", "2", "--blocks", "1", "--patch-layers", "0", "--pool", "0", "--workers", "0"]
    return ["train", "cyclegan", *folders, *small, "--device", "cpu", "--precision", "fp32"]


def test_minutes_become_steps_that_a_resumed_run_keeps(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fixed(step: object, engine: Engine) -> float:
        for _ in range(3):
            step()  # type: ignore[operator]
        return 6.0

    monkeypatch.setattr(loop, "seconds_per_step", fixed)
    assert cli.run([*command, "--minutes", "0.8"]) == 0
    assert "0.8 minutes have room for 8 steps of 6 s" in capsys.readouterr().err
    noted = tomllib.loads((tmp_path / "run" / "config.toml").read_text())["run"]
    assert noted["steps"] == 8
    assert noted.get("minutes") in (None, "none")
    assert load_published(tmp_path / "run").card.step == 8
    (tmp_path / "run" / "checkpoints" / "step-00000008.safetensors").unlink()
    monkeypatch.setattr(loop, "seconds_per_step", None)
    assert cli.run([*command, "--resume"]) == 0
    assert load_published(tmp_path / "run").card.step == 8


def test_evaluations_take_their_share_of_the_minutes(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fixed(step: object, engine: Engine) -> float:
        return 6.0

    monkeypatch.setattr(loop, "seconds_per_step", fixed)
    monkeypatch.setattr(loop, "seconds_of", lambda work, engine: (work(), 8.0)[1])
    assert cli.run([*command, "--minutes", "0.8", "--evaluate-every", "4", "--val-share", "0.5"]) == 0
    assert "room for 6 steps of 6 s and 2 s of evaluation each" in capsys.readouterr().err
    assert load_published(tmp_path / "run").card.step == 6


def test_the_first_time_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, times = [0.0], iter((100.0, 3.0))

    def work() -> None:
        clock[0] += next(times)

    monkeypatch.setattr(pace.time, "monotonic", lambda: clock[0])
    assert pace.seconds_of(work, Engine(Toy(), toy_data(), Run(batch=4))) == pytest.approx(3)


def test_a_plan_does_not_know_the_steps_yet(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([*command, "--minutes", "5", "--dry-run"]) == 0
    assert "as many as 5 minutes have room for" in capsys.readouterr().err
