"""A share that goes away during a run costs no step, and a picture that breaks does not end it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gantk_cyclegan import CycleGAN
from translate.data.unpaired import Unpaired
from translate.errors import LostDataError
from translate.settings import Run
from translate.training.checkpoint import list_checkpoints, same_state
from translate.training.engine import Engine
from translate.training.journal import Journal
from translate.training.request import Request
from translate.training.run import train

STEPS = 6


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(4):
            pixels = rng.integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    return Request(
        plugin="cyclegan",
        task=CycleGAN(width=4, blocks=1, pool=2, patch_layers=1),
        source=Unpaired(a=(tmp_path / "a",), b=(tmp_path / "b",)),
        run=Run(size=16, steps=STEPS, workers=0, cache="off", device="cpu", save_every=100, preview_every=100),
        out=tmp_path / "straight",
    )


def run(request: Request) -> None:
    with Journal() as journal:
        train(request, journal)


def before_step(number: int, action: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Call ``action`` once, before the step of that number."""
    real = Engine.train_step
    waiting = [action]

    def step(self: Engine, *arguments: object) -> None:
        if self.step == number and waiting:
            waiting.pop()()  # type: ignore[operator]
        real(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Engine, "train_step", step)


def test_a_lost_share_saves_first_and_the_resumed_run_is_the_uninterrupted_one(
    request_: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(request_)
    b = tmp_path / "b"
    before_step(3, lambda: b.rename(tmp_path / "gone"), monkeypatch)
    lost = replace(request_, out=tmp_path / "lost")
    with pytest.raises(LostDataError, match=r"saved at step 3; continue with --out .*lost --resume") as error:
        run(lost)
    assert error.value.exit_code == 1
    assert [path.name for path in list_checkpoints(lost.out / "checkpoints")] == ["step-00000003.safetensors"]
    (tmp_path / "gone").rename(b)
    run(replace(lost, resume=True))
    last, same = (list_checkpoints(request.out / "checkpoints")[-1] for request in (lost, request_))
    assert same_state(last, same)


def test_a_broken_picture_is_left_out_and_the_run_ends_well(
    request_: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "b/1.png"
    before_step(1, lambda: broken.write_bytes(b"no picture"), monkeypatch)
    run(replace(request_, run=replace(request_.run, steps=40)))
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "left out" in line] == [f"left out {broken}: not an image, or a damaged one"]


def test_a_resumed_run_says_what_changed_in_its_data(
    request_: Request, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(request_)
    resumed = replace(request_, resume=True, run=replace(request_.run, steps=STEPS + 1))
    (tmp_path / "a/3.png").rename(tmp_path / "a/4.png")
    capsys.readouterr()
    run(resumed)
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "data have changed" in line] == [
        "the data have changed: 1 file (a/4.png) added",
        "the data have changed: 1 file (a/3.png) removed",
    ]
    run(replace(resumed, run=replace(request_.run, steps=STEPS + 2)))
    assert "data have changed" not in capsys.readouterr().err
    (request_.out / "data.json").write_text("[1", encoding="utf-8")
    run(replace(resumed, run=replace(request_.run, steps=STEPS + 3)))
    assert "data.json is damaged: what has changed in the data is not known" in capsys.readouterr().err
