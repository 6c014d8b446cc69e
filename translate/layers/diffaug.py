"""Differentiable augmentation of what a discriminator is shown (Zhu et al., 2020)."""

from __future__ import annotations

import torch
from torch import Tensor

NUMBERS = 7
"""Random numbers that one image needs."""

SHIFT = 0.125
"""Largest translation, as a share of the side."""
HOLE = 0.5
"""Side of the rectangle that is cut out, as a share of the image's."""


def diff_augment(images: Tensor, u: Tensor) -> Tensor:
    """Colour, translation and cutout, the paper's whole policy: (N, C, H, W) in [-1, 1] -> the same shape.

    ``u``: (N, `NUMBERS`), uniform in [0, 1). What enters from outside an image is 0, and so is the hole.
    """
    bright, saturation, contrast = u[:, :3].to(images.dtype).T[:, :, None, None, None]
    x = images + (bright - 0.5)
    x = _around(x.mean(1, keepdim=True), x, 2 * saturation)
    x = _around(x.mean((1, 2, 3), keepdim=True), x, contrast + 0.5)
    height, width = images.shape[2:]
    x = translate(x, _whole(u[:, 3], height), _whole(u[:, 4], width))
    kept_rows, kept_columns = _outside(u[:, 5], height), _outside(u[:, 6], width)
    return x * (kept_rows[:, :, None] | kept_columns[:, None])[:, None]


def translate(images: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Each image moved by whole pixels, (N,) int64 each way; 0 enters."""
    rows, row_inside = _source(down, images.shape[2])
    columns, column_inside = _source(right, images.shape[3])
    number = torch.arange(images.shape[0], device=images.device)[:, None, None]
    moved = images.permute(0, 2, 3, 1)[number, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)
    return moved * (row_inside[:, :, None] & column_inside[:, None])[:, None]


def _around(centre: Tensor, x: Tensor, factor: Tensor) -> Tensor:
    return centre + factor * (x - centre)


def _whole(u: Tensor, side: int) -> Tensor:
    """A whole number of pixels, as likely each way."""
    most = int(side * SHIFT + 0.5)
    return (u * (2 * most + 1)).floor().long() - most


def _source(shift: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Where the pixels of a moved axis come from, and whether that is inside, (N, side) each."""
    places = torch.arange(side, device=shift.device) - shift[:, None]
    return places.clamp(0, side - 1), (places >= 0) & (places < side)


def _outside(u: Tensor, side: int) -> Tensor:
    """Which places of an axis are outside the hole, (N, side); its centre is anywhere in the image."""
    hole = int(side * HOLE + 0.5)
    start = (u * (side + 1 - hole % 2)).floor()[:, None] - hole // 2
    places = torch.arange(side, device=u.device)
    return (places < start) | (places >= start + hole)
