"""Sliced Wasserstein distance between patches of two sets of pictures, level by level of a Laplacian pyramid."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

PATCH, PER_PICTURE, SMALLEST = 7, 128, 16
"""Side of a patch, patches of each picture and level, and side of the lowest level (Karras et al., 2018, sec. 5)."""

REPEATS, DIRECTIONS = 4, 128
"""Rounds of so many random directions."""

PER_MILLE = 1e3
"""The papers' unit."""

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]


def pyramid(pictures: Tensor) -> list[Tensor]:
    """Laplacian pyramid (Burt and Adelson, 1983) of (N, C, H, W), H = W = 16 * 2^k: differences, lowest level last."""
    levels = [pictures]
    while min(levels[-1].shape[2:]) > SMALLEST:
        levels.append(_blur(levels[-1])[:, :, ::2, ::2])
    for number in range(len(levels) - 1):
        levels[number] = levels[number] - _enlarged(levels[number + 1])
    return levels


def patches(level: Tensor, rng: np.random.Generator) -> Floats:
    """``PER_PICTURE`` random patches of each of (N, C, H, W): (N, PER_PICTURE, C, PATCH, PATCH)."""
    count, _, height, width = level.shape
    windows = level.unfold(2, PATCH, 1).unfold(3, PATCH, 1).numpy()  # (N, C, rows, columns, PATCH, PATCH)
    rows = rng.integers(height - PATCH + 1, size=(count, PER_PICTURE))
    columns = rng.integers(width - PATCH + 1, size=(count, PER_PICTURE))
    chosen: Floats = windows[np.arange(count)[:, None], :, rows, columns]
    return chosen


def sliced_wasserstein(
    first: Floats, second: Floats, *, seed: int = 0, directions: int = REPEATS * DIRECTIONS
) -> float:
    """Sliced Wasserstein distance (Rabin et al., 2011) between two equally large sets of patches of one level.

    (N, PER_PICTURE, C, PATCH, PATCH) each. Each set is normalised by the mean and the standard deviation of its
    channels; the mean of sorted differences along random directions, times 1,000 (Karras et al., 2018, sec. 5).
    """
    if first.shape != second.shape:
        raise ValueError(f"expected sets of one size, got {first.shape} and {second.shape}")
    sets = [_normalised(patch) for patch in (first, second)]
    total = 0.0
    for chunk in _directions(directions, sets[0].shape[2], seed).split(DIRECTIONS):
        total += _gap(*(chunk @ rows.flatten(0, 1).T for rows in sets)) * len(chunk)
    return PER_MILLE * total / directions


class Slices:
    """Two sets of patches along a few fixed directions, for distances between many choices of their pictures."""

    def __init__(self, first: Floats, second: Floats, *, seed: int = 0, directions: int = 16) -> None:
        sets = [_normalised(patch) for patch in (first, second)]
        chosen = _directions(directions, sets[0].shape[2], seed)
        self._along = [torch.einsum("nkd,rd->rnk", rows, chosen) for rows in sets]

    def distance(self, first: Indices, second: Indices) -> float:
        """The distance between these pictures of either set, as many of both; numbers may occur more than once."""
        chosen = zip(self._along, (first, second), strict=True)
        return PER_MILLE * _gap(*(along[:, torch.from_numpy(rows)].flatten(1) for along, rows in chosen))


def evenly(count: int, wanted: int) -> list[int]:
    """``wanted`` numbers below ``count``, evenly spaced."""
    return [number * count // wanted for number in range(wanted)]


def _gap(first: Tensor, second: Tensor) -> float:
    """Mean difference of two sets of numbers (directions, N), each sorted along every direction.

    NumPy sorts floats several times as fast as torch, whose sort keeps indices.
    """
    ordered = [np.sort(along.numpy(), axis=1) for along in (first, second)]
    return float(np.abs(ordered[0] - ordered[1]).mean(dtype=np.float64))


def _directions(count: int, width: int, seed: int) -> Tensor:
    chosen = torch.randn(count, width, generator=torch.Generator().manual_seed(seed))
    unit: Tensor = chosen / chosen.norm(dim=1, keepdim=True)
    return unit


def _normalised(patch: Floats) -> Tensor:
    """(pictures, patches of each, numbers of a patch)."""
    axes = (0, 1, 3, 4)
    scaled = (patch - patch.mean(axes, keepdims=True)) / np.maximum(patch.std(axes, keepdims=True), 1e-8)
    return torch.from_numpy(scaled.reshape(*patch.shape[:2], -1).astype(np.float32))


def _taps(gain: float) -> Tensor:
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16 * gain
    return taps[:, None] * taps


def _blur(pictures: Tensor, gain: float = 1.0) -> Tensor:
    channels = pictures.shape[1]
    kernel = _taps(gain).to(pictures).expand(channels, 1, 5, 5)
    return F.conv2d(F.pad(pictures, (2, 2, 2, 2), mode="reflect"), kernel, groups=channels)


def _enlarged(pictures: Tensor) -> Tensor:
    spread = pictures.new_zeros(*pictures.shape[:2], pictures.shape[2] * 2, pictures.shape[3] * 2)
    spread[:, :, ::2, ::2] = pictures
    return _blur(spread, gain=2.0)
