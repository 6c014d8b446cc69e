"""Sliced Wasserstein distance against a plain implementation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from translate.metrics.sliced import DIRECTIONS, PER_PICTURE, Slices, evenly, patches, pyramid, sliced_wasserstein


def mirrored(plane: np.ndarray, row: int, column: int) -> float:
    height, width = plane.shape
    row, column = abs(row), abs(column)
    row = row if row < height else 2 * height - 2 - row
    column = column if column < width else 2 * width - 2 - column
    return float(plane[row, column])


def blurred(plane: np.ndarray, gain: float) -> np.ndarray:
    taps = [1, 4, 6, 4, 1]
    result = np.zeros_like(plane)
    for y in range(plane.shape[0]):
        for x in range(plane.shape[1]):
            for i, a in enumerate(taps):
                for j, b in enumerate(taps):
                    result[y, x] += gain * a * b / 256 * mirrored(plane, y + i - 2, x + j - 2)
    return result


def test_pyramid_pixel_by_pixel() -> None:
    picture = np.random.default_rng(0).random((32, 32))
    high, low = pyramid(torch.from_numpy(picture)[None, None])
    below = blurred(picture, 1)[::2, ::2]
    spread = np.zeros((32, 32))
    spread[::2, ::2] = below
    np.testing.assert_allclose(low[0, 0], below, atol=1e-12)
    np.testing.assert_allclose(high[0, 0], picture - blurred(spread, 4), atol=1e-12)


def test_patches_are_cut_from_their_picture() -> None:
    level = torch.arange(2 * 3 * 16 * 16).reshape(2, 3, 16, 16).float()
    found = patches(level, np.random.default_rng(1))
    assert found.shape == (2, PER_PICTURE, 3, 7, 7)
    for picture in range(2):
        for patch in found[picture]:
            row, column = divmod(int(patch[0, 0, 0]) - picture * 768, 16)
            np.testing.assert_array_equal(patch, level[picture, :, row : row + 7, column : column + 7])


def test_distance_direction_by_direction() -> None:
    rng = np.random.default_rng(2)
    first = rng.normal(size=(2, 3, 3, 7, 7)).astype(np.float32)
    second = rng.normal(1, 3, size=(2, 3, 3, 7, 7)).astype(np.float32) ** 2
    generator = torch.Generator().manual_seed(5)
    directions = torch.randn(DIRECTIONS, 147, generator=generator).numpy().astype(np.float64)
    total = []
    flat = []
    for group in (first.astype(np.float64), second.astype(np.float64)):
        for channel in range(3):
            values = group[:, :, channel]
            group[:, :, channel] = (values - values.mean()) / values.std()
        flat.append(group.reshape(6, 147))
    for direction in directions:
        unit = direction / np.sqrt((direction**2).sum())
        a, b = (sorted(float(row @ unit) for row in rows) for rows in flat)
        total.append(np.mean([abs(x - y) for x, y in zip(a, b, strict=True)]))
    expected = 1000 * np.mean(total)
    assert sliced_wasserstein(first, second, seed=5, directions=DIRECTIONS) == pytest.approx(expected, rel=1e-4)
    both = np.arange(2)
    slices = Slices(first, second, seed=5, directions=DIRECTIONS)
    assert slices.distance(both, both) == pytest.approx(expected, rel=1e-4)
    assert slices.distance(both[:1].repeat(2), both) != pytest.approx(expected, rel=1e-4)
    assert sliced_wasserstein(first, first) == 0
    with pytest.raises(ValueError, match="one size"):
        sliced_wasserstein(first, second[:1])


def test_evenly() -> None:
    assert evenly(10, 5) == [0, 2, 4, 6, 8]
    assert evenly(3, 3) == [0, 1, 2]
