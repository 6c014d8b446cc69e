"""One picture in tiles, as often as it takes: what is read of it, and where its tiles go, may be larger than memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from translate.contract import Direction, Nets
from translate.data.values import Pixels
from translate.errors import GantkError
from translate.infer.canvas import Canvas
from translate.infer.inputs import Picture, Stack, crops
from translate.infer.levels import Levels, extent
from translate.infer.statistics import TOLERANCE, CannotPoolError, PooledNorms, pooled
from translate.infer.tiling import Tile, rows_of_tiles


class CannotTranslateError(GantkError):
    """This picture cannot be done; the others can. The message is the reason."""


class NotFiniteError(Exception):
    """A tile's output has NaN or infinity."""


class Target(Protocol):
    """Takes the tiles of a result of ``shape`` (height, width, channels), pixels of type ``kind``."""

    @property
    def shape(self) -> tuple[int, int, int]: ...

    @property
    def kind(self) -> np.dtype[Any]: ...

    def write(self, top: int, left: int, tile: Pixels) -> None:
        """Put (rows, columns, channels) where its first pixel is in row ``top`` and column ``left``."""


class Runs(Protocol):
    """What tiles need of a network: ``forward`` gives float32 of (N, C, H, W), ``exact`` in fp32."""

    direction: Direction
    levels: Levels
    nets: Nets
    device: torch.device

    def forward(self, x: Tensor, exact: bool = False) -> Tensor: ...

    def tensor(self, pictures: list[Stack]) -> Tensor: ...


@dataclass(frozen=True)
class Course:
    """How far the tiles of one picture have come.

    ``side`` and ``margin`` of the tiles; ``around``: what surrounds the picture. ``exact``: in fp32, whatever the
    network's precision. ``passes``: over all tiles, with the one that is under way; ``done``: tiles of that one.
    ``low`` and ``high``: smallest and largest share of white in it. ``notes``: what the user should know.
    """

    side: int
    margin: int
    around: int = 0
    exact: bool = False
    passes: int = 1
    done: int = 0
    low: float = 1.0
    high: float = 0.0
    notes: tuple[str, ...] = field(default=())


class Place:
    """Where the tiles of one result go: here, a canvas. A larger one may know how far they came in another process.

    ``tile_bytes``: most that a tile may take.
    """

    tile_bytes = math.inf
    target: Canvas

    def open(self, shape: tuple[int, int, int], kind: np.dtype[Any]) -> Target:
        """What takes the tiles of a result of this shape (height, width, channels) and type."""
        self.target = Canvas(*shape, kind=kind)
        return self.target

    def resumed(self) -> tuple[Course, Mapping[str, Tensor]] | None:
        """Where to continue, with the statistics of the norm layers then; None: from the start."""
        return None

    def reached(self, course: Course, tiles: int, norms: PooledNorms | None) -> None:
        """Of ``tiles`` of the pass, so many are written as ``course`` has it."""


class Tiles:
    """Runs the tiles of one picture, which is padded and surrounded as the network takes it."""

    def __init__(self, runs: Runs, whole: Picture, target: Target, place: Place, *, norms: bool) -> None:
        self._runs = runs
        self._whole = whole
        self._target = target
        self._place = place
        self._norms = norms

    def run(self, course: Course, statistics: Mapping[str, Tensor] | None = None) -> Course:
        """All tiles from ``course`` on, with the ``statistics`` that were settled when it was stopped; where it ended.

        Raises `NotFiniteError`, and `CannotTranslateError` where a norm layer's statistics cannot be pooled.
        """
        if not self._norms or (course.side >= max(self._whole.shape) and not course.around):
            return self._pass(course, None)
        with pooled(self._runs.nets) as layers:
            if statistics:
                layers.restore(statistics, self._runs.device)
            while True:
                if not course.done:
                    with layers.proxy():
                        sample = crops(self._whole, course.side, self._runs.direction.multiple)
                        self._runs.forward(self._runs.tensor(sample), exact=course.exact)
                try:
                    course = self._pass(course, layers)
                except CannotPoolError as error:
                    raise CannotTranslateError(f"too large for one piece, and not to be tiled: {error}") from None
                if layers.error() <= TOLERANCE or course.passes > layers.layers:
                    return course
                course = replace(course, passes=course.passes + 1, done=0, low=1.0, high=0.0)

    def _pass(self, course: Course, norms: PooledNorms | None) -> Course:
        """Run the tiles that are left of a pass, and write their cores."""
        scale, around = self._runs.direction.scale, course.around
        height, width, _ = self._target.shape
        cut = rows_of_tiles(*self._whole.shape, course.side, course.margin, around)
        tiles = [tile for row in cut for tile in row]
        for tile in tiles[course.done :]:
            top, left = ((span.core_start - around) * scale for span in (tile.rows, tile.columns))
            core = self._runs.levels.to_pixels(self._core(tile, norms, course.exact), self._target.kind)[0]
            core = core[: max(0, height - top), : max(0, width - left)]
            low, high = course.low, course.high
            if core.size:
                self._target.write(top, left, core)
                lowest, highest = extent(core)
                low, high = min(low, lowest), max(high, highest)
            course = replace(course, done=course.done + 1, low=low, high=high)
            self._place.reached(course, len(tiles), norms)
        return course

    def _core(self, tile: Tile, norms: PooledNorms | None, exact: bool) -> Tensor:
        rows, columns, scale = tile.rows, tile.columns, self._runs.direction.scale
        piece = self._whole[rows.start : rows.stop, columns.start : columns.stop]
        x = self._runs.tensor([piece])
        with nullcontext() if norms is None else norms.tile(tile, *piece.shape):
            y = self._runs.forward(x, exact=exact)
        y = y[
            :,
            :,
            (rows.core_start - rows.start) * scale : (rows.core_stop - rows.start) * scale,
            (columns.core_start - columns.start) * scale : (columns.core_stop - columns.start) * scale,
        ]
        if not bool(y.isfinite().all()):
            raise NotFiniteError
        return y
