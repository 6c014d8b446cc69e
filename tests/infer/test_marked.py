"""``--watermark`` of ``gantk infer``, and ``gantk detect``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from infer_fakes import publish
from PIL import Image
from torch import nn

from translate.cli.app import run
from translate.errors import UsageError
from translate.infer import marked
from translate.infer.canvas import Canvas
from translate.infer.folder import infer
from translate.infer.marked import MarkedCanvas
from translate.infer.options import InferOptions
from translate.watermark import Watermark

KEY = "correct horse"


def rough(height: int, width: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(60, 190, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.webp", "x.tif"])
def test_results_carry_the_mark_in_every_format(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    Image.fromarray(rough(300, 260)).save(photos / name)
    options = InferOptions(device="cpu", watermark=KEY, tile="128")
    assert infer(publish(nn.Identity()), [photos], out, options).done == 1
    assert run(["--json", "detect", str(out / name), str(photos / name), "--key", KEY]) == 0
    records = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [record["marked"] for record in records] == [True, False]
    assert records[0]["size"] == "1"
    assert run(["detect", str(out), "--key", "another key"]) == 0
    assert "0 of 1 pictures" in capfd.readouterr().err


def test_bands_of_rows_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = rough(150, 90)
    whole = Watermark(KEY).mark(pixels, 255.0)
    monkeypatch.setattr(marked, "AT_ONCE", 90 * 3 * 7)
    canvas = MarkedCanvas(Canvas.of(pixels), Watermark(KEY))
    assert np.array_equal(canvas.read(0, 150), whole)
    assert np.array_equal(canvas.read(70, 95), whole[70:95])


def test_a_result_that_is_too_small_says_so(tmp_path: Path) -> None:
    Image.fromarray(rough(24, 24)).save(tmp_path / "x.png")
    summary = infer(
        publish(nn.Identity()), [tmp_path / "x.png"], tmp_path / "out", InferOptions(device="cpu", watermark=KEY)
    )
    assert "its watermark cannot be found again: too small or too plain" in summary.notes


@pytest.mark.parametrize(("channels", "indexed"), [(5, ()), (3, ("b",))])
def test_what_is_no_picture_gets_no_mark(channels: int, indexed: tuple[str, ...], tmp_path: Path) -> None:
    Image.fromarray(rough(24, 24)).save(tmp_path / "x.png")
    model = publish(nn.Identity(), channels=(3, channels), indexed=indexed)
    with pytest.raises(UsageError, match=r"^--watermark: the results of this model hold"):
        infer(model, [tmp_path / "x.png"], tmp_path / "out", InferOptions(device="cpu", watermark=KEY))
    assert not (tmp_path / "out" / "x.png").exists()


def test_detect_names_what_it_cannot_read(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    Image.fromarray(rough(64, 64)).save(tmp_path / "b.png")
    assert run(["detect", str(tmp_path), "--key", KEY]) == 3
    captured = capfd.readouterr()
    assert "a.png" in captured.err
    assert "b.png" in captured.out
    assert run(["detect", str(tmp_path / "none"), "--key", KEY]) == 2
    assert run(["detect", str(tmp_path), "--key", "short"]) == 2
