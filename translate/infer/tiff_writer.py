"""A tiled BigTIFF written tile by tile, in any order and again where it must: uncompressed, so each has its place."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from translate.infer.encode import TYPES
from translate.infer.tiff import tiled_header
from translate.infer.windows import Form, Values, Writer


class TiffWriter(Writer):
    """Writes a picture of this ``form`` to ``path``, with ``tags``; ``resumed``: what is there already stays.

    ``refused``: the tags that cannot be written, which are left out.
    """

    def __init__(self, path: Path, form: Form, tags: Mapping[int, Any], *, resumed: bool) -> None:
        shape, kind = (form.height, form.width, form.channels), np.dtype(form.dtype)
        header = tiled_header(shape, kind, colours=form.colours, alpha=form.alpha, tags=tags, types=TYPES)
        self._header = header
        self._kind = kind.newbyteorder("<")
        self._pixel = form.channels * kind.itemsize
        self.refused = header.refused
        self._file = path.open("r+b" if resumed else "w+b", buffering=0)
        self._write(0, header.content)
        os.truncate(self._file.fileno(), header.end)

    def write(self, y: int, x: int, tile: Values) -> None:
        """Put (rows, columns, channels) where the first one is in row ``y`` and column ``x``."""
        side, h, w = self._header.side, *tile.shape[:2]
        values = np.ascontiguousarray(tile, self._kind)
        for row in range(y // side, -(-(y + h) // side)):
            for column in range(x // side, -(-(x + w) // side)):
                top, left = row * side, column * side
                first, last = max(y, top), min(y + h, top + side)
                begin, end = max(x, left), min(x + w, left + side)
                place = self._header.start + (row * self._header.across + column) * side * side * self._pixel
                part = np.ascontiguousarray(values[first - y : last - y, begin - x : end - x])
                if end - begin == side:
                    self._write(place + (first - top) * side * self._pixel, part.data)
                    continue
                for number, line in enumerate(part, first - top):
                    self._write(place + (number * side + begin - left) * self._pixel, line.data)

    def flush(self) -> None:
        """Bring onto the disk what was written so far."""
        os.fsync(self._file.fileno())

    def finish(self) -> None:
        """Complete and close the file."""
        self.flush()
        self.close()

    def close(self) -> None:
        """Close the file as it is."""
        self._file.close()

    def _write(self, place: int, data: bytes | memoryview) -> None:
        self._file.seek(place)
        left = memoryview(data).cast("B")
        while left:
            left = left[self._file.write(left) :]
