"""What belongs to a photo beside its pixels, as its result keeps it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from PIL import Image

from translate import provenance
from translate.data.decode import Opened, orientation

LONGEST_EXIF, LONGEST_XMP = 65_527, 65_502  # what fits into a JPEG's APP1 marker
LONGEST_IPTC, LONGEST_COMMENT = 65_506, 65_533  # into its APP13, beside Photoshop's frame, and into its COM

_ORIENTATION, _RESOLUTION, _EXIF_IFD, _WIDTH, _HEIGHT = 0x0112, 0x011A, 0x8769, 0xA002, 0xA003
IPTC, IPTC_IN_PHOTOSHOP = 33723, 0x0404
# Tags of a TIFF that describe how its own pixels lie in the file; metadata that we carry in other ways (XMP, IPTC,
# ICC); and Photoshop's resources (34377), which speak of layers and previews that the result does not have.
_STRUCTURE = (
    *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284, 288, 289, 290, 291),
    *(292, 293, 301, 317, 320, 321, 322, 323, 324, 325, 330, 332, 333, 334, 338, 339, 340, 341, 342, 347, 512, 513),
    *(514, 529, 530, 531, 532, 700, 33723, 34377, 34675),
)


@dataclass(frozen=True)
class Kept:
    """Metadata of a photo that its result keeps. EXIF and XMP say already that the pixels are upright.

    ``iptc``: the older block of caption and copyright (IIM). ``comment``: a JPEG's or GIF's.
    """

    exif: bytes | None = None
    icc: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    iptc: bytes | None = None
    comment: bytes | None = None


def read_kept(opened: Opened, scale: int, notes: list[str]) -> Kept:
    """What a photo's result keeps, which is ``scale`` times as large."""
    image = opened.image
    if image is None:
        return Kept()
    icc = image.info.get("icc_profile")
    exif, resolution = _exif(image, scale, notes)
    xmp = image.info.get("xmp")
    if xmp is None and image.format == "TIFF":
        xmp = getattr(image, "tag_v2", {}).get(provenance.TIFF_TAG)
    if isinstance(xmp, str):
        xmp = xmp.encode()
    dpi = image.info.get("dpi")
    tags = getattr(image, "tag_v2", None)
    if (image.info.get("jfif_unit") == 0 and not resolution) or (tags is not None and _RESOLUTION not in tags):
        dpi = None  # Pillow's own guess
    iptc = image.info.get("photoshop", {}).get(IPTC_IN_PHOTOSHOP) if tags is None else tags.get(IPTC)
    if iptc is not None and not isinstance(iptc, bytes):  # a TIFF's, declared as whole numbers
        notes.append("its IPTC block is damaged and is left out")
        iptc = None
    # A JPEG 2000's only names its encoder.
    comment = image.info.get("comment") if image.format in ("JPEG", "MPO", "GIF") else None
    return Kept(exif, icc or None, bytes(xmp) if xmp else None, _resolution(dpi), iptc or None, comment or None)


def _exif(image: Image.Image, scale: int, notes: list[str]) -> tuple[bytes | None, bool]:
    """The EXIF block for the result, and whether it states a resolution."""
    try:
        exif = image.getexif()
        for tag in _STRUCTURE:
            exif.pop(tag, None)
        if not len(exif):
            return None, False
        if _ORIENTATION in exif:
            exif[_ORIENTATION] = 1
        own = exif.get_ifd(_EXIF_IFD)
        turned = orientation(image) != 1 or scale != 1
        if turned and _WIDTH in own and _HEIGHT in own:
            own.pop(_WIDTH), own.pop(_HEIGHT)
        return exif.tobytes(), _RESOLUTION in exif
    except Exception:
        # Pillow raises anything on broken EXIF. A damaged block is worth less than the picture.
        notes.append("its EXIF block is damaged and is left out")
        return None, False


def _resolution(dpi: Any) -> tuple[float, float] | None:
    try:
        x, y = (float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if all(math.isfinite(d) and 1 <= d <= 65_535 for d in (x, y)) else None
