"""`gantk train --max-pixels`: large scans are trained on where the user allows them."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from gantk_dcgan import DCGAN
from translate.data.images import Images
from translate.errors import UsageError
from translate.settings import Run
from translate.training.request import Request
from translate.training.run import plan


def planned(tmp_path: Path, **settings: int) -> object:
    run = Run(size=32, batch=1, device="cpu", workers=0, **settings)  # type: ignore[arg-type]
    source = Images(images=(tmp_path / "scans",))
    return plan(Request(plugin="dcgan", task=DCGAN(), source=source, run=run, out=tmp_path / "run"))[
        "samples_per_epoch"
    ]


def test_a_limit_of_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "scans").mkdir()
    Image.new("RGB", (40, 40)).save(tmp_path / "scans/large.png")
    Image.new("RGB", (30, 30)).save(tmp_path / "scans/small.png")
    assert planned(tmp_path) == 2
    assert planned(tmp_path, max_pixels=1000) == 1
    assert "large.png: it has 1,600 pixels, more than the limit of 1,000 (--max-pixels)" in capsys.readouterr().err
    with pytest.raises(UsageError, match="none of its 2 files"):
        planned(tmp_path, max_pixels=100)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)  # Pillow refuses more than twice as many by itself
    assert planned(tmp_path, max_pixels=2000) == 2
    assert Image.MAX_IMAGE_PIXELS == 500
