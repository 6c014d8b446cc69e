"""What belongs to a photo beside its pixels, as its result keeps it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, TiffImagePlugin

from translate import provenance
from translate.data.decode import Opened
from translate.data.formats import quieten_pillow
from translate.infer.packets import adapted_xmp, without_location
from translate.infer.tags import EXIF, INTEROP, PLACE, RESOLUTION, THUMBNAIL, Change, adapted

LONGEST_EXIF, LONGEST_XMP = 65_527, 65_502  # what fits into a JPEG's APP1 marker
LONGEST_IPTC, LONGEST_COMMENT = 65_506, 65_533  # into its APP13, beside Photoshop's frame, and into its COM

IPTC, IPTC_IN_PHOTOSHOP, ICC = 33723, 0x0404, 34675
_OF_COLOURS = (b"cICP", b"sRGB", b"gAMA", b"cHRM")
_LONGEST_TEXT = 1 << 24
_BESIDE = (
    (b"MPF\0", "its other pictures (MPF: a gain map, a depth map, a second view)"),
    (b"urn:iso:std:iso:ts:21496", "its gain map"),
    (b"JP", "its content credentials (C2PA), which vouch for the photo alone,"),
)
"""How segments of a JPEG begin that point to what the result does not have."""


@dataclass(frozen=True)
class Kept:
    """Metadata of a photo that its result keeps. EXIF and XMP already state that the pixels are upright.

    ``iptc``: the older block of caption and copyright (IIM). ``comment``: a JPEG's or GIF's. ``text``: a PNG's words by
    their keys. ``colours``: the chunks by which a PNG says what its colours are.
    """

    exif: bytes | None = None
    icc: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    iptc: bytes | None = None
    comment: bytes | None = None
    text: tuple[tuple[str, str], ...] = ()
    colours: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)


@dataclass
class _Found:
    """The metadata of a file, unchanged."""

    tags: Mapping[int, Any] = field(default_factory=dict)
    blocks: Mapping[int, Mapping[int, Any]] = field(default_factory=dict)
    icc: Any = None
    xmp: Any = None
    dpi: Any = None
    iptc: Any = None
    comment: Any = None


def read_kept(opened: Opened, scale: int, notes: list[str], *, location: bool = True) -> Kept:
    """What a photo's result keeps, which is ``scale`` times as large; without its ``location`` where that is False."""
    width, height = opened.size
    turn = max(opened.turned, opened.orientation)  # a TIFF that is decoded is upright
    size = (width * scale, height * scale)
    change = Change(scale, size, upright=turn == 1, turned=turn in (5, 6, 7, 8), location=location, notes=notes)
    quieten_pillow()
    try:
        found = _in_tiff(opened) if opened.image is None else _in_image(opened.image, notes)
    except Exception:  # Pillow raises anything on broken metadata, which is worth less than the picture
        notes.append("its metadata is damaged and is left out")
        return Kept()
    exif = _exif(found, change)
    xmp = found.xmp.encode() if isinstance(found.xmp, str) else found.xmp
    iptc = found.iptc
    if iptc is not None and not isinstance(iptc, bytes):  # a TIFF's, declared as whole numbers
        notes.append("its IPTC block is damaged and is left out")
        iptc = None
    if iptc is not None and not location:
        iptc = without_location(iptc)
    image = opened.image
    converted = found.icc and found.icc[16:20] not in (b"RGB ", b"GRAY")  # a print's, through which it became sRGB
    return Kept(
        exif,
        None if converted else found.icc or None,
        adapted_xmp(bytes(xmp), change) if xmp else None,
        _resolution(found.dpi, change),
        iptc or None,
        found.comment or None,
        _text(image, notes) if image is not None and image.format == "PNG" else (),
        _colours(opened) if image is not None and image.format == "PNG" else (),
    )


def _in_image(image: Image.Image, notes: list[str]) -> _Found:
    tags = getattr(image, "tag_v2", None)
    exif = image.getexif()
    xmp = image.info.get("xmp")
    if xmp is None and tags is not None:
        xmp = tags.get(provenance.TIFF_TAG)
    dpi = image.info.get("dpi")
    stated = any(tag in exif for tag in RESOLUTION)
    if (image.info.get("jfif_unit") == 0 and not stated) or (tags is not None and RESOLUTION[0] not in tags):
        dpi = None  # Pillow's own guess
    iptc = image.info.get("photoshop", {}).get(IPTC_IN_PHOTOSHOP) if tags is None else tags.get(IPTC)
    # A JPEG 2000's only names its encoder.
    comment = image.info.get("comment") if image.format in ("JPEG", "MPO", "GIF") else None
    for start, what in _BESIDE:
        if any(content.startswith(start) for _, content in getattr(image, "applist", ())):
            notes.append(f"{what} cannot be carried over and is left out")
    blocks = {tag: dict(exif.get_ifd(tag)) for tag in (EXIF, PLACE, THUMBNAIL)}
    # Asked for a block that is not there, Pillow before 13 raises.
    blocks[INTEROP] = dict(exif.get_ifd(INTEROP)) if INTEROP in blocks[EXIF] else {}
    return _Found(dict(exif.items()), blocks, image.info.get("icc_profile"), xmp, dpi, iptc, comment)


def _in_tiff(opened: Opened) -> _Found:
    """Of a TIFF that Pillow does not open; nothing of other files."""
    blocks: dict[int, Mapping[int, Any]] = {}
    with opened.path.open("rb") as file:
        head = file.read(16)
        if head[:4] not in TiffImagePlugin.PREFIXES and head[:4] != b"MM\0+":
            return _Found()

        def block(tag: int | None, offset: int | None) -> dict[int, Any]:
            directory = TiffImagePlugin.ImageFileDirectory_v2(head if b"+" in head[2:4] else head[:8], group=tag)
            file.seek(directory.next if offset is None else offset)
            directory.load(file)
            return dict(directory.items())

        tags = block(None, None)
        for tag in (EXIF, PLACE):
            if isinstance(tags.get(tag), int):
                blocks[tag] = block(tag, tags[tag])
    dpi = None
    if all(tag in tags for tag in RESOLUTION) and (inch := {2: 1.0, 3: 2.54}.get(tags.get(296, 2))):
        dpi = tuple(float(tags[tag]) * inch for tag in RESOLUTION)
    return _Found(tags, blocks, tags.get(ICC), tags.get(provenance.TIFF_TAG), dpi, tags.get(IPTC))


def _exif(found: _Found, change: Change) -> bytes | None:
    """The EXIF block for the result."""
    try:
        written = adapted(found.tags, found.blocks, change)
        return None if written is None else written.tobytes()
    except Exception:  # as above
        change.notes.append("its EXIF block is damaged and is left out")
        return None


def _resolution(dpi: Any, change: Change) -> tuple[float, float] | None:
    try:
        x, y = (float(value) * change.scale for value in change.swapped((dpi[0], dpi[1])))
    except (TypeError, ValueError, ZeroDivisionError, IndexError):
        return None
    return (x, y) if all(math.isfinite(d) and 1 <= d <= 65_535 for d in (x, y)) else None


def _text(image: Image.Image, notes: list[str]) -> tuple[tuple[str, str], ...]:
    """Prompts, workflows, authors: all but what is carried in another way."""
    words = {
        str(key): str(value)
        for key, value in getattr(image, "text", {}).items()
        if key != provenance.PNG_KEY and not str(key).startswith("Raw profile type")
    }
    if sum(map(len, words.values())) > _LONGEST_TEXT:
        notes.append("its text is too long to be carried over, and is left out")
        return ()
    return tuple(words.items())


def _colours(opened: Opened) -> tuple[tuple[bytes, bytes], ...]:
    found = []
    with opened.path.open("rb") as file:
        file.seek(8)
        while len(start := file.read(8)) == 8 and start[4:] != b"IDAT":
            length, kind = int.from_bytes(start[:4], "big"), start[4:]
            if kind in _OF_COLOURS and length <= 64:
                found.append((kind, file.read(length)))
                length = 0
            file.seek(length + 4, 1)
    return tuple(found)
