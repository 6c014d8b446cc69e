"""Pictures that Pillow cannot read, or only in 8 bits: deep ones, of any number of bands, and NumPy's arrays.

TIFF through tifffile, PNG and JPEG 2000 through imagecodecs. Whatever Pillow reads whole is left to it.
"""

from __future__ import annotations

import errno
import logging
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from translate.data.archives import open_binary, read_bytes, readable
from translate.data.values import RefusedError

NPY = b"\x93NUMPY"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG = b"\x89PNG\r\n\x1a\n"
_JP2 = (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
_COLOURS = {0: 1, 1: 1, 2: 3}  # TIFF's photometric interpretation: grey with white 0, grey with black 0, RGB
# TIFFs that Pillow reads whole: their photometric interpretation, bits, bands and the kinds of the extra bands. Palette
# pictures (3), prints (5), and video's and Lab's colours (6, 8) are among them.
_FOR_PILLOW = {
    *((photometric, bits, 1, ()) for photometric in (0, 1, 3) for bits in (1, 2, 4)),
    *((photometric, 8, 1, ()) for photometric in (1, 3)),
    *((2, 8, 3, ()), (5, 8, 4, ()), (6, 8, 3, ()), (8, 8, 3, ())),
    *((photometric, 8, bands, (kind,)) for photometric, bands in ((1, 2), (2, 4)) for kind in (1, 2)),
}

Values = NDArray[Any]


T = TypeVar("T")


def _in_words(name: str, read: Callable[[], T]) -> T:
    """What ``read`` gives; the readers raise anything on a damaged file, in words that mean nothing to a user."""
    try:
        return read()
    except (RefusedError, MemoryError):
        raise
    except OSError as error:
        if error.errno != errno.EINVAL:  # a place before the file's beginning
            raise
    except Exception:
        pass
    raise RefusedError(f"a damaged {name}")


@dataclass(frozen=True)
class Deep:
    """The header of such a picture; ``read`` gives its numbers, (H, W, ``bands``), as the file has them.

    ``width`` and ``height``: as stored; ``orientation``: EXIF's, which is not applied yet. ``colours``: of the first
    bands, 1 for grey, 3 for RGB, 0 where they are no colours; ``alpha``: whether the last band is transparency, and
    ``premultiplied`` whether the colours are multiplied by it. ``inverted``: the smallest number is white. ``bits``: of
    each number. ``frames``: pictures in the file, of which this is the first. ``by_pillow``: whether Pillow opens it
    too, for what belongs to the picture. ``named``: what the bands are, where they are more than colours.
    """

    width: int
    height: int
    bands: int
    colours: int
    bits: int
    read: Callable[[], Values]
    alpha: bool = False
    premultiplied: bool = False
    inverted: bool = False
    orientation: int = 1
    frames: int = 1
    by_pillow: bool = False
    named: str = ""

    @property
    def counted(self) -> str:
        """Its bands, counted and, as far as the file does, named."""
        return f"{self.bands} bands ({self.named})" if self.named else f"{self.bands} bands"

    @property
    def mode(self) -> str:
        """A word for it like Pillow's modes, by which grey differs from colour."""
        return {1: "I;16", 3: "RGB"}.get(self.colours, f"{self.bands} bands")


def deep_header(path: Path, head: bytes) -> Deep | None:
    """The header of a picture that has to be read here, by the first 32 bytes; None for all others.

    Raises ``RefusedError`` with the reason for one that is damaged or of a kind that is not read.
    """
    kinds: list[tuple[bool, str, Callable[[], Deep | None]]] = [
        (head.startswith(NPY), "NumPy array", lambda: _npy(path)),
        (head.startswith(_TIFF), "TIFF, or one compressed in a way that is not known", lambda: _tiff(path)),
        (head.startswith(_PNG), "PNG", lambda: _png(path, head)),
        (head.startswith(_JP2), "JPEG 2000", lambda: _jpeg2000(path)),
        (re.match(rb"P[2356]\s", head) is not None, "Netpbm", lambda: _netpbm(path)),
    ]
    for found, name, header in kinds:
        if found:
            deep = _in_words(name, header)
            return deep and replace(deep, read=partial(_in_words, name, deep.read))
    return None


def _npy(path: Path) -> Deep:
    with open_binary(path) as file:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, kind = read_header(file)
        start = file.tell()
        left = file.seek(0, 2) - start
    if kind.hasobject:
        raise RefusedError("an array of Python objects, which are never read")
    if left < math.prod(shape) * kind.itemsize:
        raise RefusedError("the array is cut off")
    opened = readable(path)
    array = np.load(opened, mmap_mode="r" if isinstance(opened, Path) else None, allow_pickle=False)
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise RefusedError(f"an array of shape {array.shape}; expected (height, width) or (height, width, channels)")
    height, width, bands = array.shape if array.ndim == 3 else (*array.shape, 1)
    bits = 1 if array.dtype.kind == "b" else 8 * array.dtype.itemsize

    def read() -> Values:
        return np.array(array).reshape(height, width, bands)

    return Deep(width, height, bands, {1: 1, 3: 3}.get(bands, 0), bits, read)


def _tiff(path: Path) -> Deep | None:
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what matters of its warnings is raised
    with tifffile.TiffFile(readable(path)) as file:
        page = file.pages[0]
        assert isinstance(page, tifffile.TiffPage)
        bits, photometric, bands = page.bitspersample, int(page.photometric), page.samplesperpixel
        extra = tuple(int(kind) for kind in page.extrasamples)
        plain = int(page.sampleformat or 1) in (1, 4) and (photometric, bits, bands, extra) in _FOR_PILLOW
        if plain and not (file.is_bigtiff and photometric in _COLOURS):  # of which Pillow reads some alone
            return None
        if not isinstance(bits, int):
            raise RefusedError("its bands have different depths")
        if photometric not in _COLOURS:
            name = getattr(page.photometric, "name", photometric)
            raise RefusedError(f"{bands} bands of {bits} bits, meant as {name}; expected grey or RGB")
        if page.imagedepth > 1:
            raise RefusedError(f"a volume of {page.imagedepth} slices; expected a picture")
        alpha = extra in ((1,), (2,)) and bands == _COLOURS[photometric] + 1
        tag = page.tags.get(274)
        more = bands - _COLOURS[photometric]
        return Deep(
            page.imagewidth,
            page.imagelength,
            bands,
            _COLOURS[photometric] if bands == _COLOURS[photometric] + alpha else 0,
            bits,
            lambda: _tiff_values(path),
            alpha=alpha,
            premultiplied=alpha and extra == (1,),
            inverted=photometric == 0,
            orientation=tag.value if tag is not None and isinstance(tag.value, int) else 1,
            frames=1 if page.is_reduced else len(file.pages),
            named=f"{'RGB' if photometric == 2 else 'grey'} and {more} more" if more > 0 else "",
        )


def _tiff_values(path: Path) -> Values:
    import tifffile

    with tifffile.TiffFile(readable(path)) as file:
        page = file.pages[0]
        assert isinstance(page, tifffile.TiffPage)
        values: Values = page.asarray()
        if page.axes == "SYX":  # one plane after the other
            values = values.transpose(1, 2, 0)
        return values.reshape(page.imagelength, page.imagewidth, page.samplesperpixel)


def _png(path: Path, head: bytes) -> Deep | None:
    depth, colour = head[24], head[25]  # PNG's colour type: 0 grey, 2 RGB, and 4 more with alpha
    width, height = (int.from_bytes(head[start : start + 4], "big") for start in (16, 20))
    if depth != 16 and (depth >= 8 or colour != 0):
        return None
    holed = b"tRNS" in chunk_kinds(path)
    if depth < 8 and not holed:  # of grey in 1, 2 or 4 bits, Pillow mistakes the transparent one
        return None
    colours = 3 if colour & 2 else 1
    alpha = bool(colour & 4) or holed
    bands = colours + alpha

    def read() -> Values:
        import imagecodecs

        values: Values = imagecodecs.png_decode(read_bytes(path))
        return values.reshape(height, width, bands)

    return Deep(width, height, bands, colours, max(8, depth), read, alpha=alpha, by_pillow=True)


def chunk_kinds(path: Path) -> list[bytes]:
    """The kinds of a PNG's chunks, in order, as far as they can be followed."""
    kinds: list[bytes] = []
    with open_binary(path) as file:
        file.seek(8)
        while len(start := file.read(8)) == 8:
            kinds.append(start[4:])
            file.seek(int.from_bytes(start[:4], "big") + 4, 1)
    return kinds


def _jpeg2000(path: Path) -> Deep | None:
    with open_binary(path) as file:
        start = file.read(1 << 16)
    place = start.find(b"\xff\x4f\xff\x51")
    size = start[place + 4 :]
    if place < 0 or len(size) < 41:
        return None
    right, bottom, left, top = (int.from_bytes(size[at : at + 4], "big") for at in (4, 8, 12, 16))
    bands = int.from_bytes(size[36:38], "big")
    depths = {size[38 + 3 * band] for band in range(min(bands, (len(size) - 38) // 3))}
    if all(depth <= 7 for depth in depths):
        return None
    if len(depths) > 1:
        raise RefusedError("its bands have different depths")
    bits = (depths.pop() & 0x7F) + 1

    def read() -> Values:
        import imagecodecs

        values: Values = imagecodecs.jpeg2k_decode(read_bytes(path))
        return values.reshape(bottom - top, right - left, bands)

    # Two and four bands are grey and RGB with alpha where a box says so; without it they are bands.
    alpha = bands in (2, 4) and b"cdef" in start[:place]
    colours = {1: 1, 3: 3}.get(bands - alpha, 0)
    return Deep(right - left, bottom - top, bands, colours, bits, read, alpha=alpha, by_pillow=True)


def _netpbm(path: Path) -> Deep | None:
    with open_binary(path) as file:
        start = file.read(1 << 12)
    space = rb"\s+(?:#[^\n]*\n\s*)*"
    match = re.match(rb"P([2356])" + space.join([b"", *[rb"(\d+)"] * 3]) + rb"\s", start)
    if match is None:
        return None
    kind, width, height, white = (int(group) for group in match.groups())
    if white <= 255 or white > 65535:
        return None
    bands = 3 if kind in (3, 6) else 1

    def read() -> Values:
        body = read_bytes(path)[match.end() :]
        count = math.prod((width, height, bands))
        if kind in (2, 3):
            numbers = np.array(body.split()[:count], np.int64)
        else:
            whole = min(len(body) // 2, count)
            numbers = np.frombuffer(body, ">u2", whole).astype(np.int64)
        if numbers.size != count or numbers.min() < 0 or numbers.max() > white:
            raise RefusedError(f"expected {count:,} numbers of at most {white}")
        values: Values = np.rint(numbers * (65535 / white)).astype(np.uint16)
        return values.reshape(height, width, bands)

    return Deep(width, height, bands, bands, 16, read, by_pillow=True)
