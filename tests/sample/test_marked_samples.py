"""``gantk sample --watermark``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from translate.cli.app import run
from translate.sample.saving import save_each, save_grid
from translate.watermark import Watermark

KEY = "correct horse"


def pictures(count: int, side: int) -> torch.Tensor:
    noise = torch.rand(count, 3, side // 4, side // 4, generator=torch.Generator().manual_seed(0)) - 0.5
    return torch.nn.functional.interpolate(noise, size=(side, side), mode="bicubic")


def test_files_and_grid_carry_the_mark(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    written = save_each(tmp_path, iter([pictures(2, 160)]), 3, watermark=Watermark(KEY))
    save_grid(tmp_path / "grid.png", pictures(9, 64), watermark=Watermark(KEY))
    save_grid(tmp_path / "plain.png", pictures(9, 64))
    names = [*map(str, written), str(tmp_path / "grid.png"), str(tmp_path / "plain.png")]
    assert run(["--json", "detect", *names, "--key", KEY]) == 0
    found = [json.loads(line)["marked"] for line in capfd.readouterr().out.splitlines()]
    assert found == [True, True, True, False]


def test_pictures_too_small_for_it_are_counted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (path,) = save_each(tmp_path, iter([pictures(1, 16)]), 0, watermark=Watermark(KEY))
    assert "the watermark cannot be found again in 1 of 1 pictures: too small or too plain" in capfd.readouterr().err
    with Image.open(path) as picture:
        assert np.asarray(picture).shape == (16, 16, 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--walk", "w.webp", "--watermark", KEY], "--watermark: of pictures alone; expected no --walk"),
        (["--grid", "g.png", "--watermark", "short"], "--watermark: expected a key of at least 8 characters"),
    ],
)
def test_what_cannot_be_marked_is_refused(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["sample", "none", *words]) == 2
    assert message in capfd.readouterr().err
