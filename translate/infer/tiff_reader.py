"""TIFF and BigTIFF read window by window: tiles, strips, and uncompressed pixels row by row."""

from __future__ import annotations

import logging
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from translate.data.values import RefusedError
from translate.infer.windows import Form, Reader, Values

if TYPE_CHECKING:
    from tifffile import TiffPage

CACHE = 128 << 20
"""Bytes of decoded tiles or strips that are kept, as the next window needs some of them again."""

LARGEST_SEGMENT = 256 << 20
"""Bytes of a tile or strip beyond which it is not decoded for a window of it."""

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How a TIFF or BigTIFF begins."""

_GREY, _RGB, _YCBCR = (0, 1), 2, 6
_JPEG = (6, 7, 33007, 34892)
_REDUCED, _ORIENTATION = 1, 274


class TiffReader(Reader):
    """The first picture of a TIFF. Raises ``RefusedError`` with the reason for what is not read.

    ``refusal``: why no window of it can be read, where that is so.
    """

    refusal: str | None = None

    def __init__(self, path: Path) -> None:
        import tifffile

        logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what matters of its warnings is raised
        self._file = tifffile.TiffFile(path)
        try:
            page = self._file.pages[0]
            assert isinstance(page, tifffile.TiffPage)
            self._page: TiffPage = page
            self.form = _form(page)
            self._rows = bool(page.is_memmappable)
            if not (self._rows or page.compression == 1 or page.compression in tifffile.TIFF.DECOMPRESSORS):
                name = getattr(page.compression, "name", page.compression)
                self.refusal = f"a TIFF compressed in a way that is not known ({name})"
        except BaseException:
            self.close()
            raise
        turn = page.tags.get(_ORIENTATION)
        if turn is not None and turn.value in range(2, 9):
            self.refusal = f"too large to be turned, and stored with orientation {turn.value}; expected an upright one"
        self._height, self._width = (
            (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
        )
        self._planes = self.form.channels if page.planarconfig == 2 else 1
        self._cached: OrderedDict[int, Values] = OrderedDict()
        self._bytes = 0
        size = self._height * self._width * (self.form.channels // self._planes) * np.dtype(self.form.dtype).itemsize
        if not self._rows and size > LARGEST_SEGMENT:
            kind = "tile" if page.is_tiled else "strip"
            self.refusal = f"too large to be read at once, and each {kind} holds {size:,} bytes; expected small tiles"

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, y: int, x: int, h: int, w: int) -> Values:
        """The numbers (h, w, channels) of a window."""
        if self._rows:
            return self._read_rows(y, x, h, w)
        across, down = -(-self.form.width // self._width), -(-self.form.height // self._height)
        window = np.empty((h, w, self.form.channels), self.form.dtype)
        each = self.form.channels // self._planes
        for plane in range(self._planes):
            for row in range(y // self._height, -(-(y + h) // self._height)):
                for column in range(x // self._width, -(-(x + w) // self._width)):
                    segment = self._segment((plane * down + row) * across + column)
                    top, left = row * self._height, column * self._width
                    rows = slice(max(y, top), min(y + h, top + self._height))
                    columns = slice(max(x, left), min(x + w, left + self._width))
                    window[
                        rows.start - y : rows.stop - y, columns.start - x : columns.stop - x, plane : plane + each
                    ] = segment[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        return window

    def _read_rows(self, y: int, x: int, h: int, w: int) -> Values:
        """From a file whose pixels lie row by row, uncompressed."""
        page, file = self._page, self._file.filehandle
        kind = np.dtype(self._file.byteorder + np.dtype(self.form.dtype).str[1:])
        each = self.form.channels // self._planes * kind.itemsize
        window = np.empty((h, w, self.form.channels), self.form.dtype)
        for plane in range(self._planes):
            channels = slice(plane, plane + 1) if self._planes > 1 else slice(None)
            for row in range(h):
                start = ((plane * self.form.height + y + row) * self.form.width + x) * each
                file.seek(page.dataoffsets[0] + start)
                data = file.read(w * each)
                if len(data) < w * each:
                    raise RefusedError(f"cut off in row {y + row:,} of {self.form.height:,}")
                window[row, :, channels] = np.frombuffer(data, kind).reshape(w, -1)
        return window

    def _segment(self, number: int) -> Values:
        """A tile or strip, (rows, columns, channels of its plane); at the picture's end it may be cut to that."""
        if number in self._cached:
            self._cached.move_to_end(number)
            return self._cached[number]
        page = self._page
        kind = "tile" if page.is_tiled else "strip"
        place = f"{kind} {number + 1:,} of {len(page.dataoffsets):,}"
        try:
            count = page.databytecounts[number]
            self._file.filehandle.seek(page.dataoffsets[number])
            data = self._file.filehandle.read(count) if count else None
            if data is not None and len(data) < count:
                raise RefusedError(f"cut off: {place} ends beyond the file")
            decoded, _, shape = page.decode(data, number, jpegtables=page.jpegtables, jpegheader=page.jpegheader)
            if decoded is None:  # a tile that the file leaves out
                decoded = np.full(shape, page.nodata, self.form.dtype)
            segment: Values = decoded[0]
        except (RefusedError, MemoryError):
            raise
        except Exception:  # decoders raise anything
            raise RefusedError(f"{place} is damaged") from None
        self._cached[number] = segment
        self._bytes += segment.nbytes
        while self._bytes > CACHE and len(self._cached) > 1:
            self._bytes -= self._cached.popitem(last=False)[1].nbytes
        return segment


def _form(page: TiffPage) -> Form:
    bits, photometric, bands = page.bitspersample, int(page.photometric), page.samplesperpixel
    if int(page.subfiletype) & _REDUCED:
        raise RefusedError("a camera's raw file, of which only a thumbnail can be read; develop it first")
    if not isinstance(bits, int) or page.dtype is None:
        raise RefusedError("its bands have different depths")
    if page.imagedepth > 1:
        raise RefusedError(f"a volume of {page.imagedepth} slices; expected a picture")
    colours = 3 if photometric == _RGB or (photometric == _YCBCR and page.compression in _JPEG) else 1
    if colours == 1 and photometric not in _GREY:
        name = getattr(page.photometric, "name", photometric)
        raise RefusedError(f"{bands} bands of {bits} bits, meant as {name}; expected grey or RGB")
    extra = tuple(int(kind) for kind in page.extrasamples)
    alpha = extra in ((1,), (2,)) and bands == colours + 1
    return Form(
        page.imagewidth,
        page.imagelength,
        bands,
        page.dtype.name,
        colours if bands == colours + alpha else 0,
        alpha=alpha,
        premultiplied=extra == (1,) and alpha,
        inverted=photometric == 0,
        bits=bits,
    )
