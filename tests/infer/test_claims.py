"""What killed processes leave in a folder, and what becomes of their photos."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from infer_fakes import publish
from PIL import Image
from torch import nn

from listening import listening
from translate.infer import stages
from translate.infer.claims import MACHINE, Claims, claim_path, remove_if_dead
from translate.infer.folder import infer
from translate.infer.options import InferOptions
from translate.infer.summary import Summary
from translate.infer.trial import PROOF, can_fork, survives

CPU = torch.device("cpu")
needs_fork = pytest.mark.skipif(not can_fork(CPU), reason="needs fork")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(4):
        Image.fromarray(np.full((16, 16 + i, 3), 40 * i, np.uint8)).save(folder / f"{i}.png")
    return folder


def killed(out: Path, name: str, deaths: int, stage: str) -> Path:
    """The claim that a killed process leaves on a result."""
    out.mkdir(exist_ok=True)
    claim = claim_path(out / name)
    claim.write_text(f"{MACHINE} {deaths} {stage:8}\n", encoding="ascii")
    return claim


def run(network: nn.Module, photos: Path, out: Path, *, overwrite: bool = False) -> Summary:
    return infer(publish(network), [photos], out, InferOptions(workers=1, overwrite=overwrite))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


class Deadly(nn.Module):
    """Kills any process but this one."""

    def __init__(self) -> None:
        super().__init__()
        self.own = os.getpid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if os.getpid() != self.own and x.shape[-1] == 17:
            os.kill(os.getpid(), signal.SIGKILL)
        return x


@needs_fork
@pytest.mark.parametrize("deaths", [0, 1, 2, 9])
@pytest.mark.parametrize("stage", ["waiting", "decode", "network", "encode"])
def test_a_photo_that_was_hit_by_chance_is_done(photos: Path, tmp_path: Path, deaths: int, stage: str) -> None:
    """However often a process was killed while it worked on a photo: the photo need not be the cause."""
    out = tmp_path / "out"
    for name in ("0.png", "1.png"):
        killed(out, name, deaths, stage)
    summary = run(nn.Identity(), photos, out)
    assert (summary.done, summary.failures) == (4, [])
    assert names(out) == names(photos)


@needs_fork
def test_a_photo_that_kills_a_copy_too_is_left_out(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    claim = killed(out, "1.png", 1, "network")
    for _ in range(2):  # a rerun comes to the same end
        summary = run(Deadly(), photos, out)
        assert (summary.failed, summary.exit_code) == (1, 3)
        ((path, reason),) = summary.failures
        assert Path(path).name == "1.png"
        assert reason == (
            f"2 processes died while they worked on it; delete {claim.name} beside its result to try it again"
        )
        assert names(out) == {"0.png", "2.png", "3.png", claim.name}
    assert run(nn.Identity(), photos, out).done == 1  # the fault was mended
    assert names(out) == names(photos)


def test_without_copies_the_deaths_have_to_do(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "can_fork", lambda device: False)
    out = tmp_path / "out"
    killed(out, "0.png", PROOF - 1, "waiting")
    killed(out, "1.png", PROOF - 1, "network")
    summary = run(nn.Identity(), photos, out)
    assert [Path(path).name for path, _ in summary.failures] == ["1.png"]
    assert summary.done == 3


def test_suspects_come_last_the_most_suspicious_last_of_all(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    killed(out, "0.png", 2, "waiting")
    killed(out, "1.png", 1, "waiting")
    order: list[str] = []
    options = InferOptions(workers=1)
    with listening(records=lambda entry: order.append(Path(entry["input"]).name)):
        infer(publish(nn.Identity()), [photos], out, options)
    assert order == ["2.png", "3.png", "1.png", "0.png"]


def test_a_claim_left_after_its_result_was_written_goes_on_a_skip(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(nn.Identity(), photos, out)
    left = killed(out, "2.png", 0, "encode")
    killed(out, "3.png", 0, "encode")
    living = Claims().take(out / "3.png")
    assert living is not None
    summary = run(nn.Identity(), photos, out)
    assert summary.skipped == 4
    assert not left.exists()
    assert living.path.exists()  # somebody redoes it
    living.release()
    assert names(out) == names(photos)


def test_no_claim_is_created_to_remove_one(tmp_path: Path) -> None:
    remove_if_dead(tmp_path / "x.claim")
    assert not names(tmp_path)


@needs_fork
def test_a_copy_dies_or_survives() -> None:
    def fails() -> None:
        raise ValueError

    assert survives(lambda: None)
    assert survives(fails)
    assert not survives(lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert not survives(lambda: os._exit(3))
    start = time.monotonic()
    assert not survives(lambda: time.sleep(60), patience=0.1)
    assert time.monotonic() - start < 30


@needs_fork
def test_a_copy_computes_after_its_origin_did() -> None:
    """The threads of torch's pool are not copied; a copy that waits for them never ends."""
    net = nn.Conv2d(3, 16, 3)
    x = torch.rand(1, 3, 128, 128)
    net(x)
    assert survives(lambda: net(x), patience=60)
