"""Resizing has one definition; geometry is drawn once and holds for every picture of a sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from translate.data.alpha import filled
from translate.data.decode import open_image
from translate.data.transforms import Fit, Geometry, Reader, resize, to_tensor


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


@pytest.mark.parametrize(("width", "height"), [(20, 20), (90, 70), (7, 50), (40, 33)])
@pytest.mark.parametrize("channels", [1, 3])
def test_resize_is_pillows_bicubic(width: int, height: int, channels: int) -> None:
    image = noise(33, 40, channels)
    squeezed = Image.fromarray(image[:, :, 0] if channels == 1 else image)
    expected = np.asarray(squeezed.resize((width, height), Image.Resampling.BICUBIC)).reshape(height, width, channels)
    assert (resize(image, width, height) == expected).all()


def test_resize_is_antialiased() -> None:
    board = np.indices((64, 64)).sum(0) % 2 * 255
    small = resize(board[:, :, None].astype(np.uint8), 8, 8)
    assert np.abs(small.astype(int) - 127).max() <= 1  # without antialiasing it would stay black and white


def test_resize_does_not_mix_hidden_colours_into_visible_ones() -> None:
    image = np.zeros((8, 8, 4), np.uint8)
    image[:, :4] = (255, 0, 0, 255)
    image[:, 4:] = (0, 255, 0, 0)  # green, but invisible
    small = resize(np.dstack([filled(image[..., :3], image[..., 3]), image[..., 3]]), 3, 3)
    assert (small[..., 1][small[..., 3] > 0] == 0).all()


def test_a_file_is_read_with_the_pixels_of_open_and_resize(tmp_path: Path) -> None:
    Image.fromarray(noise(30, 40)).save(tmp_path / "x.png")
    for channels in (1, 3, 4):
        for fit in (Fit("resize", 20, 16), Fit("scale", 20, 16), Fit("none", 20, 16), Fit("none", 20, 50)):
            image = open_image(tmp_path / "x.png", channels)
            assert (Reader(channels, fit)(tmp_path / "x.png") == fit(image)).all()


@pytest.mark.parametrize(
    ("fit", "expected"),
    [
        (Fit("resize", 286, 256), (286, 286)),
        (Fit("scale", 100, 64), (133, 100)),
        (Fit("none", 100, 64), (400, 300)),
        (Fit("none", 100, 600), (800, 600)),
        (Fit("scale", 300, 64), (400, 300)),
    ],
)
def test_fit(fit: Fit, expected: tuple[int, int]) -> None:
    assert fit.size_of(400, 300) == expected
    assert fit.size_of(300, 400) == expected[::-1]


def test_geometry_holds_for_every_picture_of_a_sample() -> None:
    rng = np.random.default_rng(3)
    image = noise(20, 30, 3)
    double = image.repeat(2, 0).repeat(2, 1)
    seen = set()
    for _ in range(60):
        geometry = Geometry.draw(rng, image, 8, flip=True, turn=True)
        once, twice = geometry(image), geometry.enlarged(2)(double)
        assert once.shape == (8, 8, 3)
        assert (twice == once.repeat(2, 0).repeat(2, 1)).all()
        seen.add((geometry.flip, geometry.turns))
    assert len(seen) == 8


def test_crops_reach_every_corner_and_flips_are_half() -> None:
    rng = np.random.default_rng(0)
    draws = [Geometry.draw(rng, noise(6, 7), 4, flip=True) for _ in range(2000)]
    assert {(d.top, d.left) for d in draws} == {(top, left) for top in range(3) for left in range(4)}
    assert 0.45 < np.mean([d.flip for d in draws]) < 0.55
    assert {d.turns for d in draws} == {0}


def test_switches_do_not_change_the_crop() -> None:
    image = noise(20, 20)
    plain, all_on = (
        [Geometry.draw(rng, image, 8, flip=on, turn=on) for _ in range(20)]
        for on, rng in ((False, np.random.default_rng(5)), (True, np.random.default_rng(5)))
    )
    assert [(g.top, g.left) for g in plain] == [(g.top, g.left) for g in all_on]


def test_crop_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="a crop of 8 does not fit into 7x20"):
        Geometry.draw(np.random.default_rng(0), noise(20, 7), 8)


def test_to_tensor_owns_its_memory() -> None:
    image = noise(5, 6)
    image.flags.writeable = False
    tensor = to_tensor(image[:, ::-1])
    assert tensor.shape == (3, 5, 6)
    assert (tensor.numpy() == image[:, ::-1].transpose(2, 0, 1)).all()
    tensor += 1  # no view of what may be shared with the cache
    assert (image == noise(5, 6)).all()
