"""A result with an invisible mark, computed as its rows are read."""

from __future__ import annotations

import numpy as np

from translate.data.values import Pixels, white_of
from translate.errors import UsageError
from translate.infer.canvas import Canvas
from translate.infer.levels import Levels
from translate.infer.options import InferOptions
from translate.watermark import HALO, LEVEL, Watermark, brightness, colours_of, read_key

AT_ONCE = 4 << 20
"""Values that are marked at once, in double precision."""

LOST = "too small or too plain"


def mark_of(options: InferOptions, levels: Levels) -> Watermark | None:
    """The mark that the results are to have. Raises ``UsageError`` where they are no pictures, which it would spoil."""
    if options.watermark is None:
        return None
    if levels.index_out or levels.planes_out not in (1, 3, 4):
        kind = "class indices" if levels.index_out else f"{levels.planes_out} channels"
        raise UsageError(f"--watermark: the results of this model hold {kind}; expected grey or colour pictures")
    return Watermark(read_key("--watermark", options.watermark))


def marked(canvas: Canvas, watermark: Watermark | None) -> tuple[Canvas, list[str]]:
    """The canvas with the mark in it, where there is one, and notes for the user."""
    if watermark is None:
        return canvas, []
    result: Canvas = MarkedCanvas(canvas, watermark)
    height, width, channels = canvas.shape
    if height * width * channels <= AT_ONCE:  # once, for the look at it and for the file
        result = Canvas.of(result.read(0, height))
    return result, [f"its watermark cannot be found again: {LOST}"] if is_lost(result, watermark) else []


def is_lost(canvas: Canvas, watermark: Watermark) -> bool:
    """Whether the mark cannot be found in the very picture that has it, as it is too small or too plain."""
    height, width, _ = canvas.shape
    rows = min(height, 1024)
    first = (height - rows) // 2
    pixels = canvas.read(first, first + rows)[:, : min(width, 4096)]
    plane = brightness(colours_of(pixels, white_of(canvas.kind)))
    return watermark.detect(plane, sizes=(1.0,)).p_value > LEVEL


class MarkedCanvas(Canvas):
    """The pixels of another canvas with a mark in them. ``close`` leaves the other one open."""

    def __init__(self, canvas: Canvas, watermark: Watermark) -> None:
        self.shape = canvas.shape
        self.kind = canvas.kind
        self._row = canvas.shape[1] * canvas.shape[2] * canvas.kind.itemsize
        self._canvas = canvas
        self._watermark = watermark

    def read(self, top: int, bottom: int) -> Pixels:
        """The rows from ``top`` to ``bottom``, (rows, width, channels), marked."""
        height, width, channels = self.shape
        rows = max(1, AT_ONCE // (width * channels))
        bands = []
        for first in range(top, bottom, rows):
            last = min(bottom, first + rows)
            # The strength of the mark depends on neighbouring rows, so that bands fit together.
            above, below = max(0, first - HALO), min(height, last + HALO)
            marked = self._watermark.mark(self._canvas.read(above, below), white_of(self.kind), above)
            bands.append(marked[first - above : last - above])
        return np.concatenate(bands)

    def close(self) -> None:
        """Nothing: the other canvas holds the pixels."""
