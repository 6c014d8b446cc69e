"""PNG written row by row: lossless, quick, and never whole in memory."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR = {1: 0, 2: 4, 3: 2, 4: 6}  # channels -> colour type: grey, grey + alpha, RGB, RGBA
_UP = 2


class PngWriter:
    """Writes pixels of 8 or 16 bits to ``file`` as they come: metadata at once, ``rows`` from the top, then ``close``.

    Each row is stored as its difference to the one above and run-length matched (zlib's ``Z_RLE``): on photos three
    times as fast as Pillow at its quickest level, and smaller (``bench/infer.py``).
    """

    def __init__(
        self,
        file: BinaryIO,
        width: int,
        height: int,
        channels: int,
        *,
        bits: int = 8,
        icc: bytes | None = None,
        exif: bytes | None = None,
        xmp: bytes | None = None,
        dpi: tuple[float, float] | None = None,
        text: Sequence[tuple[str, str]] = (),
        colours: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        self._file = file
        self._shape = (width, channels)
        self._left = height
        self._kind = np.dtype(">u2" if bits == 16 else np.uint8)
        self._above = np.zeros(width * channels * self._kind.itemsize, np.uint8)
        self._zlib = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
        file.write(SIGNATURE)
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, _COLOUR[channels], 0, 0, 0))
        for kind, data in colours:
            self._chunk(kind, data)
        if icc is not None:
            self._chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc))
        if dpi is not None:
            self._chunk(b"pHYs", struct.pack(">IIB", *(max(1, round(d / 0.0254)) for d in dpi), 1))
        if xmp is not None:
            self._chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
        for key, words in text:
            self._text(key, words)
        if exif is not None:
            self._chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))

    def rows(self, pixels: NDArray[Any]) -> None:
        """The next rows, (any, width, channels), uint8 or uint16 as ``bits`` says."""
        width, channels = self._shape
        flat = np.ascontiguousarray(pixels.reshape(len(pixels), width * channels), self._kind).view(np.uint8)
        filtered = np.empty((len(flat), 1 + flat.shape[1]), np.uint8)
        filtered[:, 0] = _UP
        np.subtract(flat[0], self._above, out=filtered[0, 1:])
        np.subtract(flat[1:], flat[:-1], out=filtered[1:, 1:])
        self._above = flat[-1].copy()
        self._left -= len(flat)
        self._data(self._zlib.compress(filtered.data))

    def close(self) -> None:
        """Write what is left. Raises ``ValueError`` unless all the rows were there."""
        if self._left:
            raise ValueError(f"{self._left} rows of the PNG are missing")
        self._data(self._zlib.flush())
        self._chunk(b"IEND", b"")

    def _text(self, key: str, words: str) -> None:
        name = key.encode("latin-1", "replace")[:79]
        try:
            self._chunk(b"tEXt", name + b"\0" + words.encode("latin-1"))
        except UnicodeEncodeError:
            self._chunk(b"iTXt", name + b"\0\0\0\0\0" + words.encode("utf-8", "replace"))

    def _data(self, packed: bytes) -> None:
        if packed:
            self._chunk(b"IDAT", packed)

    def _chunk(self, kind: bytes, data: bytes) -> None:
        self._file.write(struct.pack(">I", len(data)) + kind)
        self._file.write(data)
        self._file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))
