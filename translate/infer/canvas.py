"""The pixels of one result, in memory, or in a file where they are many."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from translate.data.values import Pixels

BYTES: np.dtype[Any] = np.dtype(np.uint8)

IN_MEMORY = 512 << 20
"""Bytes up to which a canvas is kept in memory."""

BAND = 32 << 20
"""Bytes of pixels that ``bands`` hands out at once."""


class Canvas:
    """Pixels (height, width, channels) of one type, written in tiles and read in bands of whole rows."""

    def __init__(
        self, height: int, width: int, channels: int, in_memory: int = IN_MEMORY, kind: np.dtype[Any] = BYTES
    ) -> None:
        self.shape = (height, width, channels)
        self.kind = kind
        self._row = width * channels * kind.itemsize
        large = height * self._row > in_memory
        # Plain reads and writes, not a memory map: mapped pages count as the process's memory.
        self._file = tempfile.TemporaryFile(prefix="gantk-") if large else None  # noqa: SIM115 - closed by close()
        self._array = None if large else np.empty(self.shape, kind)

    @classmethod
    def of(cls, pixels: Pixels) -> Canvas:
        """A canvas of these pixels, (height, width, channels), without a copy."""
        canvas = cls.__new__(cls)
        canvas.shape = pixels.shape
        canvas.kind = pixels.dtype
        canvas._row = pixels.shape[1] * pixels.shape[2] * pixels.itemsize
        canvas._file = None
        canvas._array = pixels
        return canvas

    def write(self, top: int, left: int, tile: Pixels) -> None:
        """Put (rows, columns, channels) where its first pixel is in row ``top`` and column ``left``."""
        if self._array is not None:
            self._array[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
            return
        assert self._file is not None
        start = left * self.shape[2] * self.kind.itemsize
        for number, row in enumerate(np.ascontiguousarray(tile), top):
            self._file.seek(number * self._row + start)
            self._file.write(row.data)

    def read(self, top: int, bottom: int) -> Pixels:
        """The rows from ``top`` to ``bottom``, (rows, width, channels)."""
        if self._array is not None:
            return self._array[top:bottom]
        assert self._file is not None
        self._file.seek(top * self._row)
        data = self._file.read((bottom - top) * self._row)
        return np.frombuffer(data, self.kind).reshape(bottom - top, *self.shape[1:])

    def bands(self) -> Iterator[tuple[int, Pixels]]:
        """All rows from the top, a few at a time: (first row, (rows, width, channels))."""
        height = self.shape[0]
        rows = max(1, BAND // max(1, self._row))
        for top in range(0, height, rows):
            yield top, self.read(top, min(height, top + rows))

    def close(self) -> None:
        """Give the memory or the file back."""
        self._array = None
        if self._file is not None:
            self._file.close()
