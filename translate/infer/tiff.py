"""TIFF, in bands or tiled: numbers of any type, any number of channels, and all tags that belong to the picture."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import TiffImagePlugin, TiffTags

_STRIP = 1 << 20  # bytes of pixels in one strip, about
_LARGEST = (1 << 32) - (1 << 20)  # bytes beyond which the file becomes a BigTIFF, whose offsets have 64 bits
_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_OFFSETS, _SAMPLES, _ROWS, _COUNTS, _PLANAR, _EXTRA, _FORMAT = 273, 277, 278, 279, 284, 338, 339
_TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS, _TILE_COUNTS = 322, 323, 324, 325
_ICC, _X_RESOLUTION, _Y_RESOLUTION, _UNIT = 34675, 282, 283, 296
_ALIGNED = 4096  # bytes: where the first tile of a tiled file begins is a multiple of them
_KIND = {"u": 1, "i": 2, "f": 3}  # TIFF's SampleFormat

TILE = 512
"""Side of the tiles of a tiled TIFF, unless the picture is smaller."""

Tags = Mapping[int, Any]
Own = dict[int, tuple[Any, int]]
"""Tags by which a TIFF describes its own pixels, each with its type."""


def write_tiff(
    file: BinaryIO,
    shape: tuple[int, int, int],
    kind: np.dtype[Any],
    rows: Callable[[], Iterator[NDArray[Any]]],
    *,
    colours: int,
    alpha: bool,
    tags: Tags,
    types: Mapping[int, int],
) -> list[int]:
    """Write (height, width, channels) numbers of type ``kind``, uncompressed, as ``rows`` gives them from the top.

    ``colours``: 1 for grey, 3 for RGB, 0 for bands that are neither; ``alpha``: whether the last channel is
    transparency. ``tags``: what else the file says, values of inner blocks as mappings, with the TIFF ``types`` of
    those that have one. Returns the tags that cannot be written, which are left out.
    """
    height, width, channels = shape
    row = width * channels * kind.itemsize
    each = max(1, min(height, _STRIP // max(1, row)))
    count = -(-height // each)
    big = height * row > _LARGEST
    place = TiffTags.LONG8 if big else TiffTags.LONG
    own = _described(shape, kind, colours, alpha) | {
        _ROWS: (each, TiffTags.LONG),
        _COUNTS: (tuple(min(each, height - strip * each) * row for strip in range(count)), place),
        _OFFSETS: (tuple(strip * each * row for strip in range(count)), place),
    }
    directory, refused = _directory(tags, types, own, big=big)
    directory.save(file)
    for band in rows():
        file.write(np.ascontiguousarray(band, dtype=kind.newbyteorder("<")).data)
    return refused


@dataclass(frozen=True)
class TiledHeader:
    """The beginning of an uncompressed tiled BigTIFF: its bytes, ``side`` of its tiles, their number in a row, and
    where the first one begins; the others follow. ``refused``: tags that cannot be written, which are left out."""

    content: bytes
    side: int
    across: int
    start: int
    end: int
    refused: tuple[int, ...]


def tiled_header(
    shape: tuple[int, int, int], kind: np.dtype[Any], *, colours: int, alpha: bool, tags: Tags, types: Mapping[int, int]
) -> TiledHeader:
    """The header for numbers (height, width, channels) of type ``kind``; the rest as for `write_tiff`."""
    height, width, channels = shape
    side = min(TILE, -(-max(height, width) // 16) * 16)
    across = -(-width // side)
    count = across * -(-height // side)
    each = side * side * channels * kind.itemsize

    def content(start: int) -> tuple[bytes, list[int]]:
        own = _described(shape, kind, colours, alpha) | {
            _TILE_WIDTH: (side, TiffTags.LONG),
            _TILE_LENGTH: (side, TiffTags.LONG),
            _TILE_OFFSETS: (tuple(start + tile * each for tile in range(count)), TiffTags.LONG8),
            _TILE_COUNTS: ((each,) * count, TiffTags.LONG8),
        }
        directory, refused = _directory(tags, types, own, big=True)
        file = io.BytesIO()
        directory.save(file)
        return file.getvalue(), refused

    start = -(-len(content(0)[0]) // _ALIGNED) * _ALIGNED
    header, refused = content(start)
    return TiledHeader(header, side, across, start, start + count * each, tuple(refused))


def _described(shape: tuple[int, int, int], kind: np.dtype[Any], colours: int, alpha: bool) -> Own:
    height, width, channels = shape
    own: Own = {
        _WIDTH: (width, TiffTags.LONG),
        _LENGTH: (height, TiffTags.LONG),
        _BITS: ((8 * kind.itemsize,) * channels, TiffTags.SHORT),
        _COMPRESSION: (1, TiffTags.SHORT),
        _PHOTOMETRIC: (2 if colours == 3 else 1, TiffTags.SHORT),
        _SAMPLES: (channels, TiffTags.SHORT),
        _PLANAR: (1, TiffTags.SHORT),
        _FORMAT: ((_KIND[kind.kind],) * channels, TiffTags.SHORT),
    }
    extra = channels - (colours or 1)
    if extra:
        own[_EXTRA] = ((0,) * (extra - alpha) + (2,) * alpha, TiffTags.SHORT)
    return own


def _directory(
    tags: Tags, types: Mapping[int, int], own: Own, *, big: bool
) -> tuple[TiffImagePlugin.ImageFileDirectory_v2, list[int]]:
    """All tags, and those that cannot be written."""
    directory = TiffImagePlugin.ImageFileDirectory_v2(b"II+\0" + bytes(12) if big else b"II*\0" + bytes(4))
    refused = [tag for tag, value in tags.items() if not _put(directory, tag, value, types.get(tag))]
    for tag, (value, type_) in own.items():
        directory.tagtype[tag] = type_
        directory[tag] = value
    return directory, refused


def _put(directory: TiffImagePlugin.ImageFileDirectory_v2, tag: int, value: Any, type_: int | None) -> bool:
    """Whether a tag can be written, as found by writing it alone."""
    trial = TiffImagePlugin.ImageFileDirectory_v2()
    for place in (trial, directory):
        if type_ is not None:
            place.tagtype[tag] = type_
        try:
            place[tag] = value
            if place is trial:
                trial.tobytes(8)
        except Exception:  # Pillow raises anything on a value that does not fit its type
            return False
    return True
