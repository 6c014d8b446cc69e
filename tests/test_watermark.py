"""The invisible mark: it survives what pictures go through, is not found where it is not, and does not show."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from translate.errors import UsageError
from translate.watermark import PERIOD, RING, Detection, Watermark, brightness, read_key

KEY = "correct horse"


def photo(seed: int, side: int = 256) -> NDArray[np.uint8]:
    """Something with a photo's spectrum: power that falls with the square of the frequency."""
    rng = np.random.default_rng(seed)
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None]) + 1 / side
    planes = []
    for _ in range(3):
        plane = np.fft.ifft2(np.fft.fft2(rng.normal(size=(side, side))) / radius).real
        planes.append(127 + 45 * plane / plane.std())
    colours = np.stack(planes, 2)
    return np.clip((colours + colours.mean(2, keepdims=True)) / 2, 0, 255).astype(np.uint8)


def look(pixels: NDArray[Any], key: str = KEY) -> Detection:
    return Watermark(key).detect(brightness(pixels.astype(float)))


def jpeg(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=75)
    return np.asarray(Image.open(file))


def halved(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    return np.asarray(Image.fromarray(pixels).resize((width // 2, height // 2), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("seed", range(4))
def test_the_mark_survives_jpeg_half_the_size_and_a_cut_of_a_quarter(seed: int) -> None:
    marked = Watermark(KEY).mark(photo(seed), 255.0)
    for attacked in (marked, jpeg(marked), halved(marked), marked[37:165, 91:219], marked[:, ::-1]):
        assert look(attacked).p_value < 1e-6
    assert look(halved(marked)).size == 0.5


def test_a_large_photo_survives_all_of_it_at_once() -> None:
    marked = Watermark(KEY).mark(photo(1, 1024), 255.0)
    assert look(jpeg(halved(marked))[100:356, 60:316]).p_value < 1e-6


def test_no_mark_is_found_without_the_key() -> None:
    for seed in range(8):
        assert look(photo(seed)).p_value > 1e-3
        assert look(Watermark("another key").mark(photo(seed), 255.0)).p_value > 1e-3


@pytest.mark.parametrize("period", [2, 7, 16, 64])
def test_pictures_that_repeat_themselves_raise_no_alarm(period: int) -> None:
    tile = np.random.default_rng(period).integers(0, 256, (period, period, 3), dtype=np.uint8)
    assert look(np.tile(tile, (256 // period, 256 // period, 1))).p_value > 1e-3


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_plain_picture_carries_no_mark(level: int) -> None:
    assert look(np.full((100, 80, 3), level, np.uint8)).p_value == 1.0


def test_the_mark_does_not_show() -> None:
    for pixels in (photo(0), np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)):
        difference = Watermark(KEY).mark(pixels, 255.0).astype(float) - pixels
        assert 10 * math.log10(255**2 / np.mean(difference**2)) > 42


def test_the_pattern_is_flat_in_its_ring_and_nowhere_else() -> None:
    spectrum = np.abs(np.fft.fft2(Watermark(KEY).pattern))
    radius = np.hypot(np.fft.fftfreq(PERIOD)[:, None], np.fft.fftfreq(PERIOD)[None])
    inside = (radius >= RING[0]) & (radius <= RING[1])
    assert np.allclose(spectrum[inside], spectrum[inside].mean())
    assert np.abs(spectrum[~inside]).max() < 1e-9


def test_the_pattern_of_a_key_never_changes() -> None:
    pinned = [0.10028988361048682, 0.06961881120175294, -0.15998394439652563]
    assert Watermark(KEY).pattern[0, :3] == pytest.approx(pinned, abs=1e-9)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_every_depth_is_marked_and_transparency_stays(kind: str, channels: int) -> None:
    white = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}[kind]
    pixels = (photo(1).repeat(2, 2)[:, :, :channels] * (white / 255)).astype(kind)
    marked = Watermark(KEY).mark(pixels, white)
    assert marked.dtype == pixels.dtype
    if channels in (2, 4):
        assert np.array_equal(marked[:, :, -1], pixels[:, :, -1])
    colours = marked[:, :, : channels - (channels in (2, 4))]
    assert look(colours * (255 / white)).p_value < 1e-6


def test_a_key_comes_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n", encoding="utf-8")
    assert read_key("--watermark", f"@{tmp_path / 'key'}") == KEY


@pytest.mark.parametrize("text", ["", "short", "       short", "@missing"])
def test_a_key_that_is_none_is_refused_by_the_flag(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"^--watermark"):
        read_key("--watermark", text)


def test_photos_keep_their_mark_and_others_have_none(shared_data: Path) -> None:
    found = [0, 0, 0]
    for path in sorted((shared_data / "horse2zebra" / "trainA").iterdir())[:12]:
        pixels = np.asarray(Image.open(path).convert("RGB"))
        marked = Watermark(KEY).mark(pixels, 255.0)
        for number, attacked in enumerate((jpeg(marked), halved(marked), marked[60:188, 60:188])):
            found[number] += look(attacked).p_value < 1e-3
        assert look(pixels).p_value > 1e-3
    assert min(found) >= 11
