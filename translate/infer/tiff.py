"""TIFF written band by band: numbers of any type, any number of channels, and all tags that belong to the picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import TiffImagePlugin, TiffTags

_STRIP = 1 << 20  # bytes of pixels in one strip, about
_LARGEST = (1 << 32) - (1 << 20)  # bytes beyond which the file becomes a BigTIFF, whose offsets have 64 bits
_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_OFFSETS, _SAMPLES, _ROWS, _COUNTS, _PLANAR, _EXTRA, _FORMAT = 273, 277, 278, 279, 284, 338, 339
_ICC, _X_RESOLUTION, _Y_RESOLUTION, _UNIT = 34675, 282, 283, 296
_KIND = {"u": 1, "i": 2, "f": 3}  # TIFF's SampleFormat

Tags = Mapping[int, Any]


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
    own: dict[int, tuple[Any, int]] = {
        _WIDTH: (width, TiffTags.LONG),
        _LENGTH: (height, TiffTags.LONG),
        _BITS: ((8 * kind.itemsize,) * channels, TiffTags.SHORT),
        _COMPRESSION: (1, TiffTags.SHORT),
        _PHOTOMETRIC: (2 if colours == 3 else 1, TiffTags.SHORT),
        _SAMPLES: (channels, TiffTags.SHORT),
        _ROWS: (each, TiffTags.LONG),
        _COUNTS: (tuple(min(each, height - strip * each) * row for strip in range(count)), place),
        _OFFSETS: (tuple(strip * each * row for strip in range(count)), place),
        _PLANAR: (1, TiffTags.SHORT),
        _FORMAT: ((_KIND[kind.kind],) * channels, TiffTags.SHORT),
    }
    extra = channels - (colours or 1)
    if extra:
        own[_EXTRA] = ((0,) * (extra - alpha) + (2,) * alpha, TiffTags.SHORT)
    directory = TiffImagePlugin.ImageFileDirectory_v2(b"II+\0" + bytes(12) if big else b"II*\0" + bytes(4))
    refused = [tag for tag, value in tags.items() if not _put(directory, tag, value, types.get(tag))]
    for tag, (value, type_) in own.items():
        directory.tagtype[tag] = type_
        directory[tag] = value
    directory.save(file)
    for band in rows():
        file.write(np.ascontiguousarray(band, dtype=kind.newbyteorder("<")).data)
    return refused


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
