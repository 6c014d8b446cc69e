"""`--minutes`: as many steps as there is time for, fixed before the first one and noted in the run folder."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from toy import Toy, toy_batch, toy_data
from translate.cli import app as cli
from translate.contract import Phase
from translate.modelfile.model import load_published
from translate.settings import Run
from translate.training import loop, pace
from translate.training.checkpoint import same_state
from translate.training.engine import Engine


def test_the_first_steps_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, taken = [0.0], []

    def step() -> None:
        taken.append(clock[0])
        clock[0] += 1.0 if len(taken) <= pace.WARM_UP else 0.3

    monkeypatch.setattr(pace.time, "monotonic", lambda: clock[0])
    engine = Engine(Toy(), toy_data(), Run(batch=4))
    assert pace.seconds_per_step(step, engine) == pytest.approx(0.3)
    assert len(taken) == pace.WARM_UP + pace.TIMED


def test_slow_steps_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, taken = [0.0], []

    def step() -> None:
        taken.append(clock[0])
        clock[0] += pace.LONGEST + 1

    monkeypatch.setattr(pace.time, "monotonic", lambda: clock[0])
    assert pace.seconds_per_step(step, Engine(Toy(), toy_data(), Run(batch=4))) == pytest.approx(pace.LONGEST + 1)
    assert len(taken) == 2


def phase(name: str, **when: int | None) -> Phase:
    return Phase(name, ("g",), lambda nets, x: {}, **when)  # type: ignore[arg-type]


GROWING = [phase("4", stop=100), phase("8", start=100, stop=250), phase("16", start=250)]
LAZY = [phase("game"), phase("penalty", every=16)]
WARM = [phase("pretrain", stop=40), phase("game", start=40), phase("penalty", start=40, every=7)]
CRITIC = [phase("early", stop=25), phase("critic", start=25), phase("catch_up", start=50, every=50), phase("g")]
NONE = [phase("pretrain", stop=0), phase("game")]
COSTS = {"4": 0.01, "8": 0.1, "16": 2.0, "game": 0.5, "penalty": 3.0, "pretrain": 0.2, "early": 9.0, "critic": 0.3}


@pytest.mark.parametrize("phases", [GROWING, LAZY, WARM, CRITIC, NONE], ids=["grow", "lazy", "warm", "critic", "none"])
@pytest.mark.parametrize("minutes", [0.01, 0.5, 3, 20])
@pytest.mark.parametrize("beside", [0.0, 0.4])
def test_as_many_steps_as_take_the_time_and_no_more(phases: list[Phase], minutes: float, beside: float) -> None:
    def cost(step: int) -> float:
        return sum(COSTS.get(each.name, 0.7) for each in phases if each.due(step))

    measured: list[int] = []

    def measure(step: int) -> float:
        measured.append(step)
        return cost(step)

    found = pace.Pace(phases, measure)
    steps = found.steps_within(minutes * 60, beside)
    longest = max(each.every for each in phases) * max(found.seconds.values())
    assert abs(sum(cost(step) + beside for step in range(steps)) - minutes * 60) <= longest + beside
    assert len(measured) == len(found.seconds)
    assert found.steps_within(minutes * 60, beside) == steps
    assert len(measured) == len(found.seconds)


def test_a_stage_that_is_out_of_reach_is_not_measured() -> None:
    measured: list[int] = []

    def measure(step: int) -> float:
        measured.append(step)
        return 1.0

    assert pace.Pace(GROWING, measure).steps_within(120.9) == 120
    assert measured == [0, 100]


def test_phases_without_a_common_period_are_no_endless_sum() -> None:
    phases = [phase("game"), phase("one", every=9973), phase("other", every=10007)]
    found = pace.Pace(phases, lambda step: 1.0)
    assert found.steps_within(1000.0) == 1000


def test_what_is_done_to_an_engine_is_undone() -> None:
    run = Run(batch=4, size=8, device="cpu", precision="fp32", workers=0, ada=True)
    batch = toy_batch(0)
    engines = [Engine(Toy(), toy_data(), run) for _ in range(2)]
    with pace.undone(engines[0]):
        engines[0].step = 1000
        for _ in range(3):
            engines[0].train_step(lambda: batch, 0.5)
    for engine in engines:
        for _ in range(3):
            engine.train_step(lambda: batch, 0.5)
    states = [{**engine.nets.state_dict(), **engine.averages.state_dict()} for engine in engines]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    first, second = (engine.read() for engine in engines)
    assert first == second


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(8):
            pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    folders = ["--a", str(tmp_path / "a"), "--b", str(tmp_path / "b"), "--out", str(tmp_path / "run")]
    small = ["--size", "16", "--width", "2", "--blocks", "1", "--patch-layers", "0", "--pool", "4", "--r1", "1"]
    return ["train", "cyclegan", *folders, *small, "--workers", "0", "--device", "cpu", "--precision", "fp32"]


def taken(step: Callable[[], None], engine: Engine) -> float:
    """Steps that are really taken, and a pace beside which their time is nothing."""
    for _ in range(3):
        step()
    return 6000.0


def test_minutes_become_steps_that_a_resumed_run_keeps(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is, bit for bit, the one that the number of steps alone would have given."""
    monkeypatch.setattr(loop, "seconds_per_step", taken)
    assert cli.run([*command, "--minutes", "850"]) == 0
    assert "850 minutes have room for 8 steps of 6e+03 s" in capsys.readouterr().err
    noted = tomllib.loads((tmp_path / "run" / "config.toml").read_text())["run"]
    assert noted["steps"] == 8
    assert noted.get("minutes") in (None, "none")
    assert load_published(tmp_path / "run").card.step == 8
    last = "checkpoints/step-00000008.safetensors"
    plain = [str(tmp_path / "plain") if word == str(tmp_path / "run") else word for word in command]
    assert cli.run([*plain, "--steps", "8"]) == 0
    assert same_state(tmp_path / "run" / last, tmp_path / "plain" / last)
    (tmp_path / "run" / last).unlink()
    monkeypatch.setattr(loop, "seconds_per_step", None)
    assert cli.run([*command, "--resume"]) == 0
    assert load_published(tmp_path / "run").card.step == 8


def test_evaluations_take_their_share_of_the_minutes(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "seconds_per_step", taken)
    monkeypatch.setattr(loop, "seconds_of", lambda work, engine: (work(), 8000.0)[1])
    assert cli.run([*command, "--minutes", "850", "--evaluate-every", "4", "--val-share", "0.5"]) == 0
    assert "room for 6 steps of 6e+03 s and 2e+03 s of evaluation each" in capsys.readouterr().err
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
