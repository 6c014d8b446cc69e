"""XMP and IPTC blocks in a result: the same rule as for tags, on text that is searched rather than parsed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from translate.infer.tags import Change

_Change: TypeAlias = Callable[[str], str]

_WIDTHS = r"tiff:ImageWidth|exif:PixelXDimension"
_HEIGHTS = r"tiff:ImageLength|exif:PixelYDimension"
_COUNTS = (
    r"tiff:[XY]Resolution|exif:FocalPlane[XY]Resolution"
    r"|GPano:(?:FullPano|CroppedArea)(?:Image)?(?:WidthPixels|HeightPixels|LeftPixels|TopPixels)"
)
_DIMENSIONS = r"stDim:[wh]"  # of what regions were drawn on
_POINTERS = (
    r"hdrgm:\w+|HDRGainMap:\w+|apdi:\w+|Container:\w+|GContainer:\w+|GDepth:\w+|GImage:\w+|GAudio:\w+|GCamera:\w+"
    r"|Device:\w+|xmpNote:HasExtendedXMP|xmp:Thumbnails|exif:SubjectArea|exif:SubjectLocation"
)
"""Properties of gain maps, depth maps, videos and thumbnails that lie beside the photo, or of places in its pixels."""
_LOCATION = (
    r"exif:GPS\w+|photoshop:City|photoshop:State|photoshop:Country|Iptc4xmpCore:Location|Iptc4xmpCore:CountryCode"
    r"|Iptc4xmpExt:Location(?:Shown|Created)"
)
_LOCATION_IN_IPTC = frozenset({26, 27, 90, 92, 95, 100, 101})  # data sets of record 2


def adapted_xmp(xmp: bytes, change: Change) -> bytes:
    """A photo's XMP packet for its result; as it is where it is no text."""
    try:
        text = xmp.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        return xmp
    width, height = change.size
    text = _replaced(text, _WIDTHS, lambda value: str(width))
    text = _replaced(text, _HEIGHTS, lambda value: str(height))
    text = _replaced(text, f"{_COUNTS}|{_DIMENSIONS}" if 'unit="pixel"' in text else _COUNTS, _multiplied(change.scale))
    text, count = _without(text, _POINTERS)
    if count:
        change.notes.append("its XMP points to a gain map, depth map or the like, which is left out")
    if not change.location:
        text, _ = _without(text, _LOCATION)
    return text.encode()


def _multiplied(scale: int) -> _Change:
    """Multiplies a whole, decimal or fractional number."""

    def scaled(value: str) -> str:
        number, slash, below = value.partition("/")
        try:
            product = int(number) * scale if re.fullmatch(r"[+-]?\d+", number) else float(number) * scale
        except ValueError:
            return value
        return f"{product}{slash}{below}"

    return scaled


def _replaced(text: str, names: str, change: _Change) -> str:
    attribute = re.compile(rf"""(\s(?:{names})\s*=\s*)(?:"([^"<]*)"|'([^'<]*)')""")
    element = re.compile(rf"(<({names})\b[^<>]*>\s*)([^<]*?)(\s*</\2\s*>)")
    text = attribute.sub(lambda found: f'{found[1]}"{change(found[2] or found[3] or "")}"', text)
    return element.sub(lambda found: f"{found[1]}{change(found[3])}{found[4]}", text)


def _without(text: str, names: str) -> tuple[str, int]:
    """The text without attributes and elements of these names, and how many there were."""
    text, attributes = re.subn(rf"""\s(?:{names})\s*=\s*(?:"[^"<]*"|'[^'<]*')""", "", text)
    text, elements = re.subn(rf"<({names})\b(?:[^<>]*/>|[^<>]*>.*?</\1\s*>)", "", text, flags=re.DOTALL)
    return text, attributes + elements


def without_location(iptc: bytes) -> bytes | None:
    """An IPTC block (IIM) without the data sets that name a place; None where it cannot be followed."""
    kept, at = b"", 0
    while at + 5 <= len(iptc) and iptc[at] == 0x1C:
        size = int.from_bytes(iptc[at + 3 : at + 5], "big")
        end = at + 5 + size
        if size & 0x8000 or end > len(iptc):
            return None
        if (iptc[at + 1], iptc[at + 2]) not in {(2, number) for number in _LOCATION_IN_IPTC}:
            kept += iptc[at:end]
        at = end
    return kept if not iptc[at:].strip(b"\0") else None
