"""Tags of EXIF and TIFF in a result: what counts pixels is scaled, what points to something absent is left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

EXIF, PLACE, INTEROP, THUMBNAIL = 0x8769, 0x8825, 0xA005, 1  # inner blocks of tags
_ORIENTATION, _DESCRIPTION = 0x0112, 270
RESOLUTION = (282, 283)
_FOCAL_PLANE = (0xA20E, 0xA20F)  # pixels per unit of the sensor
_PIXEL_SIDES = (0xA002, 0xA003)
_SUBJECT = {0x9214: "SubjectArea", 0xA214: "SubjectLocation"}
_PIXEL_SCALE, _TIEPOINTS, _TRANSFORM, _GEO_KEYS, _RPC, _OLD_TRANSFORM = 33550, 33922, 34264, 34735, 50844, 33920
GEO = (_PIXEL_SCALE, _TIEPOINTS, _TRANSFORM, _GEO_KEYS, 34736, 34737, _RPC, _OLD_TRANSFORM)
_RASTER_TYPE, _POINT = 1025, 2
# Tags of a TIFF that describe how its own pixels lie in the file, and metadata that we carry in other ways (XMP, IPTC,
# ICC).
_STRUCTURE = (
    *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284, 288, 289, 290, 291),
    *(292, 293, 301, 317, 320, 321, 322, 323, 324, 325, 332, 333, 334, 338, 339, 340, 341, 342, 347, 512, 513, 514),
    *(529, 530, 531, 532, 700, 33723, 34675),
)
_POINTERS = {
    330: "other pictures in the file",
    34377: "Photoshop's layers and previews",
    37724: "Photoshop's layers",
    50838: "ImageJ's planes",
    50839: "ImageJ's planes",
}
_OF_PLANES = re.compile(r'\{[^{}]*"shape": ?\[|.{0,200}<OME\b|ImageJ=.*\bimages=', re.DOTALL)
"""Descriptions by which programs count the pixels and planes of a file."""


@dataclass(frozen=True)
class Change:
    """What became of a photo: ``scale`` times as large, upright, ``turned`` onto its other side or not.

    ``size``: width and height of the result. ``upright``: whether it was so from the start. ``location``: whether the
    result may say where it was taken. ``notes`` receives what the user should know.
    """

    scale: int
    size: tuple[int, int]
    upright: bool = True
    turned: bool = False
    location: bool = True
    notes: list[str] = field(default_factory=list)

    def swapped(self, pair: tuple[Any, Any]) -> tuple[Any, Any]:
        """What belongs to the width and height of the photo, for those of the result."""
        return (pair[1], pair[0]) if self.turned else pair


def adapted(outer: Mapping[int, Any], blocks: Mapping[int, Mapping[int, Any]], change: Change) -> Image.Exif | None:
    """A photo's EXIF or TIFF tags and the inner ``blocks`` of tags for its result; None where nothing is left.

    Tags that cannot be written are left out.
    """
    tags = {tag: value for tag, value in outer.items() if tag not in (EXIF, PLACE, *_STRUCTURE)}
    inner = {tag: dict(blocks[tag]) for tag in (EXIF, PLACE) if blocks.get(tag)}
    if blocks.get(THUMBNAIL):
        change.notes.append("its EXIF thumbnail shows the photo, and is left out")
    if INTEROP in inner.get(EXIF, {}):
        # What it says of a related image's size is of the photo.
        inner[EXIF][INTEROP] = {tag: value for tag, value in blocks.get(INTEROP, {}).items() if tag < 0x1000}
    if _ORIENTATION in tags:
        tags[_ORIENTATION] = 1
    for tag, what in _POINTERS.items():
        if tags.pop(tag, None) is not None:
            change.notes.append(f"its tag {tag} points to {what}, and is left out")
    if not change.location:
        inner.pop(PLACE, None)
        for tag in GEO:
            tags.pop(tag, None)
    description = tags.get(_DESCRIPTION)
    if isinstance(description, str) and _OF_PLANES.match(description):
        del tags[_DESCRIPTION]
        change.notes.append("its description counts the file's pixels and planes, and is left out")
    _scale(tags, RESOLUTION, change)
    _scale_inner(inner.get(EXIF, {}), change)
    _scale_place(tags, change)
    written = Image.Exif()
    for tag, value in (tags | inner).items():
        if value != {}:
            written[tag] = value
    return _writable(written, change)


def _scale(tags: dict[int, Any], pair: tuple[int, int], change: Change) -> None:
    """Pixels per unit, across and down."""
    if any(tag in tags for tag in pair):
        values = change.swapped((tags.get(pair[0]), tags.get(pair[1])))
        for tag, value in zip(pair, values, strict=True):
            tags.pop(tag, None)
            if value is not None:
                tags[tag] = value * change.scale


def _scale_inner(exif: dict[int, Any], change: Change) -> None:
    _scale(exif, _FOCAL_PLANE, change)
    for tag, side in zip(_PIXEL_SIDES, change.size, strict=True):
        if tag in exif:
            exif[tag] = side
    for tag, name in _SUBJECT.items():
        if tag in exif and change.upright:
            exif[tag] = tuple(value * change.scale for value in exif[tag])
        elif exif.pop(tag, None) is not None:
            change.notes.append(f"its {name} is of the photo before it was turned, and is left out")


def _scale_place(tags: dict[int, Any], change: Change) -> None:
    """GeoTIFF's way from pixels to the ground; with scale s, a pixel edge i of the photo is edge s i of the result."""
    if not any(tag in tags for tag in GEO):
        return
    if not change.upright:
        for tag in GEO:
            tags.pop(tag, None)
        change.notes.append("its place on the ground is of the photo before it was turned, and is left out")
        return
    scale = change.scale
    keys = tags.get(_GEO_KEYS, ())
    points = any(keys[at] == _RASTER_TYPE and keys[at + 3] == _POINT for at in range(4, len(keys) - 3, 4))
    # Where coordinates are of pixel centres, half a pixel lies between these and the edges.
    half = 0.5 if points else 0.0
    if len(size := tags.get(_PIXEL_SCALE, ())) >= 2:
        tags[_PIXEL_SCALE] = (size[0] / scale, size[1] / scale, *size[2:])
    if ties := tags.get(_TIEPOINTS, ()):
        tags[_TIEPOINTS] = tuple(
            (value + half) * scale - half if number % 6 < 2 else value for number, value in enumerate(ties)
        )
    if len(matrix := tags.get(_TRANSFORM, ())) == 16:
        rows = [list(matrix[at : at + 4]) for at in range(0, 16, 4)]
        for row in rows:
            shift = (half / scale - half) * (row[0] + row[1])
            row[:2], row[3] = [row[0] / scale, row[1] / scale], row[3] + shift
        tags[_TRANSFORM] = tuple(value for row in rows for value in row)
    if len(rpc := tags.get(_RPC, ())) == 92:  # line and sample: offsets, of pixel centres, and scales
        offsets = {at: (rpc[at] + 0.5) * scale - 0.5 for at in (2, 3)}
        counted = offsets | {at: rpc[at] * scale for at in (7, 8)}
        tags[_RPC] = tuple(counted.get(at, value) for at, value in enumerate(rpc))
    if scale != 1 and tags.pop(_OLD_TRANSFORM, None) is not None:
        change.notes.append(f"its tag {_OLD_TRANSFORM} counts pixels in a way that is not known, and is left out")


def _writable(exif: Image.Exif, change: Change) -> Image.Exif | None:
    """Without the tags of which Pillow cannot write the values."""
    if _can(exif.tobytes):
        return exif if len(exif) else None
    left_out = []
    for tag, value in list(exif.items()):
        alone = Image.Exif()
        alone[tag] = value
        if not _can(alone.tobytes):
            del exif[tag]
            left_out.append(tag)
    names = ", ".join(map(str, left_out))
    change.notes.append(f"its tags {names} cannot be written, and are left out")
    return exif if len(exif) and _can(exif.tobytes) else None


def _can(write: Callable[[], object]) -> bool:
    try:
        write()
    except Exception:  # Pillow raises anything on values that do not fit
        return False
    return True
