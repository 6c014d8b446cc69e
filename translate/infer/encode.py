"""Writing a result that keeps what belongs to its photo."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from translate import provenance
from translate.data.alpha import on_white
from translate.data.transforms import resize
from translate.data.values import FLOATS, WHOLE, Numbers, Pixels, at_depth, to_numbers
from translate.errors import GantkError
from translate.infer.canvas import Canvas
from translate.infer.kept import (
    ICC,
    IPTC,
    IPTC_IN_PHOTOSHOP,
    LONGEST_COMMENT,
    LONGEST_EXIF,
    LONGEST_IPTC,
    LONGEST_XMP,
    Kept,
)
from translate.infer.png import PngWriter
from translate.infer.tags import EXIF, PLACE, RESOLUTION
from translate.infer.tiff import write_tiff

LARGEST_WHOLE = 250_000_000
"""Pixels beyond which a result is only written as PNG or TIFF, which need no whole copy of it."""

LONGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383, "PNG": (1 << 31) - 1}
WITH_ALPHA = frozenset({"PNG", "WEBP", "TIFF", "NPY"})
ANY_NUMBERS = frozenset({"TIFF", "NPY"})
"""Formats that hold numbers of any type, and any number of channels."""

TYPES = {provenance.TIFF_TAG: 1, ICC: 7}
"""TIFF's types of the tags that have to have one."""


def unfit(
    format_: str,
    height: int,
    width: int,
    *,
    alpha: bool,
    indexed: bool,
    explicit: bool,
    channels: int = 3,
    bands: bool = False,
    numbers: Numbers = WHOLE[8],
) -> str | None:
    """Why a result cannot be written in this format and becomes a PNG; None where it can.

    ``channels``: of the result without an ``alpha`` that is carried along; ``bands``: they are no colours.
    ``explicit``: the user named the format, so that it may cost transparency or depth.
    Raises ``GantkError`` for what a PNG cannot hold either.
    """
    if format_ in ANY_NUMBERS:
        return None
    if (channels not in (1, 3, 4) or (bands and channels > 1)) and not indexed:
        raise GantkError(f"{channels} channels do not fit into {format_.lower()}; expected --format tiff or npy")
    if format_ == "PNG":
        return None
    name = format_.lower()
    if indexed and format_ in ("JPEG", "WEBP"):
        return f"{name} would change class indices, so it is written as PNG"
    if alpha and format_ not in WITH_ALPHA and not explicit:
        return f"{name} has no transparency, so it is written as PNG"
    if numbers.bits > 8 and not explicit:
        return f"{name} is written with 8 bits alone, so it is written as PNG"
    if max(height, width) > LONGEST_SIDE.get(format_, height + width):
        return f"{width}x{height} is too large for {name}, so it is written as PNG"
    if height * width > LARGEST_WHOLE:
        return f"{width}x{height} is too large to be written at once, so it is written as PNG"
    return None


def write_photo(
    file: BinaryIO,
    format_: str,
    canvas: Canvas,
    alpha: Pixels | None,
    kept: Kept,
    *,
    numbers: Numbers | None = None,
    bands: bool = False,
    quality: int = 95,
    lossless: bool = False,
    indexed: bool = False,
    source: str | None = provenance.COMPOSITE,
) -> list[str]:
    """Encode a result into ``file``; returns notes for the user.

    ``canvas``: the result. ``alpha``: (H, W) of the photo, resized (bicubic) where the result is larger; a fourth
    channel of the canvas stands before it. ``numbers``: how the result is stored; as the canvas has them unless given.
    ``bands``: the channels are no colours, and none is transparency.
    ``lossless``: for WebP, whatever the ``quality``. ``indexed``: the values are class indices, no colours. ``source``:
    what its XMP says of how it was made (``provenance.COMPOSITE``), None for nothing.
    """
    notes: list[str] = []
    channels = canvas.shape[2]
    numbers = _storable(format_, numbers or _own(canvas), notes)
    kept = _that_fits(kept, format_, channels, indexed, notes)
    xmp = _xmp(kept, format_, source, notes)
    layer = None if alpha is None or channels == 4 else at_depth(alpha, canvas.kind)
    colours = colours_in(channels, bands=bands)
    match format_:
        case "PNG":
            _write_png(file, canvas, layer, kept, xmp, numbers)
        case "TIFF":
            _write_tiff(file, canvas, layer, kept, xmp, numbers, colours, notes)
        case "NPY":
            _write_npy(file, canvas, layer, numbers)
            if xmp is not None or kept != Kept():
                notes.append("npy holds no metadata, so it does not say how it was made")
        case _:
            pixels = _whole(canvas, layer, format_, notes)
            picture = Image.fromarray(pixels if pixels.shape[2] > 1 else pixels[:, :, 0])
            try:
                picture.save(file, format=format_, **_settings(format_, kept, xmp, quality, lossless, notes))
            except (ValueError, TypeError, LookupError, struct.error):  # what Pillow makes of metadata it cannot write
                file.seek(0)
                file.truncate()
                bare = _settings(format_, Kept(), _packet(source), quality, lossless, [])
                picture.save(file, format=format_, **bare)
                notes.append(f"its metadata cannot be written as {format_.lower()}, and is left out")
    return notes


def colours_in(channels: int, *, bands: bool) -> int:
    """How many of a result's channels are colours; ``bands``: they are none."""
    return 0 if bands else {1: 1, 3: 3, 4: 3}.get(channels, 0)


def _own(canvas: Canvas) -> Numbers:
    return next((numbers for numbers in WHOLE.values() if numbers.type == canvas.kind.name), FLOATS)


def _storable(format_: str, numbers: Numbers, notes: list[str]) -> Numbers:
    """The numbers, or the nearest that the format holds."""
    name = format_.lower()
    if format_ in ANY_NUMBERS or numbers.bits == 8:
        return numbers
    if format_ == "PNG":
        if numbers.bits != 16:
            notes.append(f"png holds 16 bits at most: its black is {numbers.black:g}, its white {numbers.white:g}")
        return WHOLE[16]
    notes.append(f"{name} holds 8 bits per channel, so it is reduced to 8")
    return WHOLE[8]


def _bands(canvas: Canvas, layer: Pixels | None, numbers: Numbers) -> Iterator[NDArray[Any]]:
    """The numbers of the result from the top, a few rows at a time, with its transparency."""
    height, width, _ = canvas.shape
    opaque = ends_of(numbers)
    for top, rows in canvas.bands():
        band = to_numbers(rows, numbers)
        if layer is not None:
            mask = to_numbers(enlarged(layer, width, height, top, len(rows)), opaque)
            band = np.concatenate([band, mask], axis=2)
        yield band


def ends_of(numbers: Numbers) -> Numbers:
    """How transparency is stored, which is no measurement: from 0 to the end of the type."""
    kind = np.dtype(numbers.type)
    return Numbers(numbers.type, 0.0, 1.0 if kind.kind == "f" else float(np.iinfo(kind).max))


def _write_png(
    file: BinaryIO, canvas: Canvas, layer: Pixels | None, kept: Kept, xmp: bytes | None, numbers: Numbers
) -> None:
    height, width, channels = canvas.shape
    writer = PngWriter(
        file,
        width,
        height,
        channels + (layer is not None),
        bits=numbers.bits,
        icc=kept.icc,
        exif=kept.exif,
        xmp=xmp,
        dpi=kept.dpi,
        text=kept.text,
        colours=kept.colours if kept.icc is None else (),
    )
    for band in _bands(canvas, layer, numbers):
        writer.rows(band)
    writer.close()


def _write_npy(file: BinaryIO, canvas: Canvas, layer: Pixels | None, numbers: Numbers) -> None:
    height, width, channels = canvas.shape
    kind = np.dtype(numbers.type).newbyteorder("<")
    shape = (height, width, channels + (layer is not None))
    header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    for band in _bands(canvas, layer, numbers):
        file.write(np.ascontiguousarray(band, dtype=kind).data)


def _write_tiff(
    file: BinaryIO,
    canvas: Canvas,
    layer: Pixels | None,
    kept: Kept,
    xmp: bytes | None,
    numbers: Numbers,
    colours: int,
    notes: list[str],
) -> None:
    height, width, channels = canvas.shape
    refused = write_tiff(
        file,
        (height, width, channels + (layer is not None)),
        np.dtype(numbers.type),
        lambda: _bands(canvas, layer, numbers),
        colours=colours,
        alpha=layer is not None or (channels == 4 and colours == 3),
        tags=_tags(kept, xmp),
        types=TYPES,
    )
    notes += left_out(refused)


def tiff_tags(kept: Kept, channels: int, source: str | None, notes: list[str], *, indexed: bool) -> Mapping[int, Any]:
    """The tags of a TIFF that keeps this, for a writer of its own; arguments as of ``write_photo``."""
    kept = _that_fits(kept, "TIFF", channels, indexed, notes)
    return _tags(kept, _xmp(kept, "TIFF", source, notes))


def left_out(refused: Iterable[int]) -> list[str]:
    """What the user should know of tags that cannot be written."""
    names = ", ".join(map(str, sorted(refused)))
    return [f"its TIFF tags {names} cannot be written and are left out"] if names else []


def _tags(kept: Kept, xmp: bytes | None) -> Mapping[int, Any]:
    tags: dict[int, Any] = {}
    if kept.exif is not None:
        exif = Image.Exif()
        exif.load(kept.exif)
        tags |= {tag: dict(exif.get_ifd(tag)) if tag in (EXIF, PLACE) else value for tag, value in exif.items()}
    if kept.dpi is not None:
        tags |= {RESOLUTION[0]: kept.dpi[0], RESOLUTION[1]: kept.dpi[1], 296: 2}
    return tags | {
        tag: value for tag, value in ((provenance.TIFF_TAG, xmp), (ICC, kept.icc), (IPTC, kept.iptc)) if value
    }


def _whole(canvas: Canvas, layer: Pixels | None, format_: str, notes: list[str]) -> NDArray[Any]:
    """The result in 8 bits, with transparency or on white."""
    height, width, channels = canvas.shape
    pixels: Pixels = to_numbers(canvas.read(0, height), WHOLE[8])
    mask: Pixels | None = None
    if layer is not None:
        mask = to_numbers(enlarged(layer, width, height, 0, height), WHOLE[8])
    elif channels == 4:
        pixels, mask = pixels[:, :, :3], pixels[:, :, 3:]
    if mask is not None and format_ in WITH_ALPHA:
        pixels = np.concatenate([pixels, mask], axis=2)
    elif mask is not None:
        pixels = on_white(pixels, mask[:, :, 0])
        notes.append(f"{format_.lower()} has no transparency; it is laid on white")
    if format_ == "WEBP" and pixels.shape[2] == 2:
        pixels = np.concatenate([pixels[:, :, :1]] * 3 + [pixels[:, :, 1:]], axis=2)
    return pixels


def _that_fits(kept: Kept, format_: str, channels: int, indexed: bool, notes: list[str]) -> Kept:
    """Without the profile of other channels, and the IPTC block and comment that the format has no room for."""
    colours = b"GRAY" if channels == 1 and format_ != "WEBP" else b"RGB "  # WebP has no grey
    if kept.icc is not None and (indexed or kept.icc[16:20] != colours):
        notes.append("its colour profile is for other channels and is left out")
        kept = replace(kept, icc=None)
    most = {"JPEG": LONGEST_IPTC, "TIFF": math.inf}.get(format_, 0)
    if kept.iptc is not None and len(kept.iptc) > most:
        notes.append(f"its IPTC block (caption, copyright) has no room in {format_.lower()} and is left out")
        kept = replace(kept, iptc=None)
    if kept.text and format_ != "PNG":
        names = ", ".join(key for key, _ in kept.text[:3])
        notes.append(f"its text ({names}) has no room in {format_.lower()} and is left out")
        kept = replace(kept, text=())
    if kept.comment is not None and len(kept.comment) > (LONGEST_COMMENT if format_ == "JPEG" else 0):
        notes.append(f"its comment has no room in {format_.lower()} and is left out")
        kept = replace(kept, comment=None)
    return kept


def _xmp(kept: Kept, format_: str, source: str | None, notes: list[str]) -> bytes | None:
    xmp = None
    if kept.xmp is not None:
        xmp = provenance.amended(kept.xmp, source)
        if xmp is None or (format_ == "JPEG" and len(xmp) > LONGEST_XMP):
            notes.append("its XMP cannot be carried over and is left out")
            xmp = None
    return _packet(source) if xmp is None else xmp


def _packet(source: str | None) -> bytes | None:
    return None if source is None else provenance.packet(source)


def _app13(iptc: bytes) -> bytes:
    """A JPEG's marker that holds an IPTC block, as Photoshop frames it."""
    resource = b"8BIM" + IPTC_IN_PHOTOSHOP.to_bytes(2, "big") + b"\0\0" + len(iptc).to_bytes(4, "big") + iptc
    body = b"Photoshop 3.0\0" + resource + b"\0" * (len(iptc) % 2)
    return b"\xff\xed" + (len(body) + 2).to_bytes(2, "big") + body


def _settings(
    format_: str, kept: Kept, xmp: bytes | None, quality: int, lossless: bool, notes: list[str]
) -> Mapping[str, Any]:
    """Arguments of Pillow's ``save``."""
    exif = kept.exif
    settings: dict[str, Any] = {}
    match format_:
        case "JPEG":
            if exif is not None and len(exif) > LONGEST_EXIF:
                notes.append("its EXIF block is too long for jpeg and is left out")
                exif = None
            settings = {"quality": quality, "subsampling": 0 if quality >= 90 else 2, "xmp": xmp}
            settings |= {"comment": kept.comment, "extra": None if kept.iptc is None else _app13(kept.iptc)}
        case "WEBP":
            # Of a lossless file the quality is how long to look for a shorter one; Pillow's own choice will do.
            settings = {"lossless": True} if lossless else {"quality": quality}
            settings |= {"xmp": xmp, "exact": True}
        case _:
            if xmp is not None or exif is not None or kept.icc is not None:
                notes.append(f"{format_.lower()} holds no metadata, so it does not say how it was made")
            return {"dpi": kept.dpi} if format_ == "BMP" and kept.dpi else {}
    settings |= {"exif": exif, "icc_profile": kept.icc, "dpi": kept.dpi}
    return {name: value for name, value in settings.items() if value is not None}


def enlarged(layer: Pixels, width: int, height: int, top: int, rows: int) -> Pixels:
    """Rows of the alpha layer (H, W) at the result's size, (rows, width, 1)."""
    own_height, own_width = layer.shape
    scale = width // own_width
    if scale <= 1:
        return layer[top : top + rows, :, None]
    # A few rows beyond those that are wanted, which the filter reads: bands of one picture fit together.
    first, last = max(0, top // scale - 4), min(own_height, -(-(top + rows) // scale) + 4)
    part = resize(layer[first:last, :, None], width, (last - first) * scale)
    return part[top - first * scale :][:rows]
