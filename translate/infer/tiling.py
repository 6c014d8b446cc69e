"""Padding to what a network takes, and cutting into tiles that agree where they meet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from translate.data.decode import Pixels

SMALLEST = 16
"""Pixels to which a smaller side is padded: networks that mirror their borders cannot take a side of one or two."""


def padded(pixels: Pixels, multiple: int) -> Pixels:
    """(H, W, C) with both sides grown to a multiple, at the bottom and on the right, by reflection.

    The reflection bounces to and fro where the picture is smaller than what is added to it.
    """
    height, width = pixels.shape[:2]
    below, right = (padded_side(side, multiple) - side for side in (height, width))
    if not (below or right):
        return pixels
    return np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="reflect")


def padded_side(side: int, multiple: int) -> int:
    """What ``padded`` makes of a side."""
    return up_to(max(side, SMALLEST), multiple)


def up_to(side: int, multiple: int) -> int:
    """The next multiple that is not smaller."""
    return -(-side // multiple) * multiple


@dataclass(frozen=True)
class Span:
    """A tile along one axis: what the network sees, ``start`` to ``stop``, and the core of it that is kept."""

    start: int
    stop: int
    core_start: int
    core_stop: int


@dataclass(frozen=True)
class Tile:
    """A tile of a picture."""

    rows: Span
    columns: Span


def wrapped(pixels: Pixels, multiple: int, around: int) -> Pixels:
    """(H, W, C) with both sides grown to a multiple, and all four by ``around``, as if the picture repeated itself."""
    height, width = pixels.shape[:2]
    below, right = (padded_side(side, multiple) - side + around for side in (height, width))
    return np.pad(pixels, ((around, below), (around, right), (0, 0)), mode="wrap")


def spans(length: int, tile: int, margin: int, around: int = 0) -> list[Span]:
    """Tiles of equal size along one axis, whose cores cover it without overlap.

    Where a core ends within the picture, the tile extends ``margin`` pixels further, on which the core's outputs
    still depend; at the picture's border the tile ends where the picture does, so that the network's own padding
    acts on the true border. All must be multiples of what the network wants; ``tile`` > 2 * ``margin``. ``around``,
    no less than ``margin``: pixels at both ends that belong to no core, as what is there only surrounds the picture.
    """
    found: list[Span] = []
    core, end = around, length - around
    while core < end:
        start = max(0, core - margin)
        stop = start + tile
        if stop >= length or (around and stop - margin >= end):
            found.append(Span(max(0, min(start, length - tile)), min(stop, length), core, end))
            break
        found.append(Span(start, stop, core, stop - margin))
        core = stop - margin
    return found


def rows_of_tiles(height: int, width: int, tile: int, margin: int, around: int = 0) -> Iterator[list[Tile]]:
    """The tiles of a picture, row by row."""
    columns = spans(width, tile, margin, around)
    for row in spans(height, tile, margin, around):
        yield [Tile(row, column) for column in columns]
