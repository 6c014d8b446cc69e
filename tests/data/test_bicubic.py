"""The bicubic against MATLAB's own output, and its behaviour at the edges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from translate.data.bicubic import crop_to_multiple, resize
from translate.data.decode import open_image


@pytest.mark.parametrize("data_set", ["Set5", "Set14"])
@pytest.mark.parametrize("scale", [2, 4])
def test_equals_matlab_on_every_pixel(shared_data: Path, data_set: str, scale: int) -> None:
    folder = shared_data / "sr" / data_set
    paths = sorted((folder / "HR").iterdir())
    assert paths
    for path in paths:
        theirs = open_image(folder / f"LR_bicubic/X{scale}/{path.stem}x{scale}.png", 3)
        ours = resize(crop_to_multiple(open_image(path, 3), scale), 1 / scale)
        np.testing.assert_array_equal(ours, theirs, err_msg=path.name)


@pytest.mark.parametrize("factor", [1 / 8, 1 / 4, 1 / 3, 1 / 2, 2, 3, 4, 8])
def test_keeps_flat_images_and_gives_the_size_of_matlab(factor: float) -> None:
    flat = np.full((48, 24, 3), 77, np.uint8)
    resized = resize(flat, factor)
    assert resized.shape == (round(48 * factor), round(24 * factor), 3)
    assert (resized == 77).all()
    assert resize(flat[:5, :5], 1 / 2).shape == (3, 3, 3)  # ceil, as MATLAB


def test_treats_both_axes_alike_and_mirrors() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 1), dtype=np.uint8)
    small = resize(image, 1 / 4).astype(int)
    flipped = resize(np.ascontiguousarray(image[::-1, ::-1]), 1 / 4).astype(int)
    assert np.abs(small - flipped[::-1, ::-1]).max() <= 1
    turned = resize(np.ascontiguousarray(image.transpose(1, 0, 2)), 1 / 4).astype(int)
    assert np.abs(small - turned.transpose(1, 0, 2)).max() <= 1


def test_a_kernel_wider_than_the_image_stays_inside() -> None:
    assert resize(np.full((8, 8, 1), 9, np.uint8), 1 / 8).tolist() == [[[9]]]


def test_crop_to_multiple() -> None:
    assert crop_to_multiple(np.zeros((17, 9, 3), np.uint8), 4).shape == (16, 8, 3)
