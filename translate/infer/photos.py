"""Reading a photo with all that belongs to it, and writing a result that keeps it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from translate import provenance
from translate.data import decode as images
from translate.data.decode import Pixels
from translate.data.formats import ImageError, image_error, open_header
from translate.data.index_maps import open_index_map
from translate.infer.canvas import Canvas
from translate.infer.png import PngWriter
from translate.reading import STANDARD, Reading

LARGEST_WHOLE = 250_000_000
"""Pixels beyond which a result is only written as PNG, which needs no whole copy of it."""

LONGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383, "PNG": (1 << 31) - 1}
WITH_ALPHA = frozenset({"PNG", "WEBP", "TIFF"})
LONGEST_EXIF, LONGEST_XMP = 65_527, 65_502  # what fits into a JPEG's APP1 marker
LONGEST_IPTC, LONGEST_COMMENT = 65_506, 65_533  # into its APP13, beside Photoshop's frame, and into its COM

_ORIENTATION, _RESOLUTION, _EXIF_IFD, _WIDTH, _HEIGHT = 0x0112, 0x011A, 0x8769, 0xA002, 0xA003
_SUBFILE_TYPE, _IPTC, _IPTC_IN_PHOTOSHOP = 254, 33723, 0x0404
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


@dataclass
class Photo:
    """A decoded photo. ``pixels``: uint8 (H, W, C), upright; ``alpha``: uint8 (H, W) where it is carried past the
    network; ``notes``: what the user should know; ``lossless``: a WebP whose pixels were stored exactly."""

    pixels: Pixels
    alpha: Pixels | None = None
    kept: Kept = field(default_factory=Kept)
    notes: list[str] = field(default_factory=list)
    lossless: bool = False


def read_photo(
    path: Path,
    channels: int,
    *,
    reading: Reading = STANDARD,
    indexed: bool = False,
    alpha: bool = True,
    strip: bool = False,
    scale: int = 1,
) -> Photo:
    """Decode a photo for a network that takes ``channels`` (1, 3 or 4; any number for class indices).

    ``indexed``: the file is a class-index map, whose values are left as they are, (H, W, 1); its metadata is not read.
    ``alpha``: carry transparency along instead of laying the photo on white. ``strip``: leave all metadata behind.
    ``scale``: how much larger the result will be, for the sizes in EXIF. Raises ``GantkError``.
    """
    if indexed:
        return Photo(open_index_map(path, channels, reading))
    notes: list[str] = []
    try:
        with open_header(path, reading) as image:
            kind = getattr(image, "tag_v2", {}).get(_SUBFILE_TYPE)
            if isinstance(kind, int) and kind & 1:  # "a reduced-resolution version of another image in this file"
                raise ImageError(path, "a camera's raw file, of which only a thumbnail can be read; develop it first")
            if _is_deep(image):
                notes.append("more than 8 bits per channel, reduced to 8")
            if getattr(image, "is_animated", False):
                notes.append("several frames, of which the first is read")
            image.load()
            step = images.UPRIGHT.get(images.orientation(image))
            layer: Image.Image | None = None
            if alpha and channels < 4 and image.has_transparency_data:
                rgba = images.in_mode(image, 4)
                layer = rgba.getchannel("A")
                picture = rgba.convert("RGB")
                picture = picture.convert("L") if channels == 1 else picture
            else:
                picture = images.in_mode(image, channels)
            kept = Kept() if strip else _kept(image, scale, notes)
            lossless = image.format == "WEBP" and _is_lossless(path)
        pixels = np.asarray(picture if step is None else picture.transpose(step))
        pixels = pixels if pixels.ndim == 3 else pixels[:, :, None]
        mask = None if layer is None else np.asarray(layer if step is None else layer.transpose(step))
        return Photo(pixels, mask, kept, notes, lossless)
    except Exception as error:
        raise image_error(path, error) from None


def _is_deep(image: Image.Image) -> bool:
    """Whether a picture, of which the header is read, has more than 8 bits per channel, as far as Pillow tells."""
    if image.mode[0] in "IF":
        return True
    for tile in getattr(image, "tile", ()):
        raw = tile[3][0] if isinstance(tile[3], tuple) and tile[3] else tile[3]
        # RGB;16 and BGR;16 are 16 bits for a whole pixel: 5, 6 and 5.
        if isinstance(raw, str) and "16" in raw and raw not in ("RGB;16", "BGR;16"):
            return True
    return False


def _is_lossless(path: Path) -> bool:
    """Whether a WebP's first frame is of the lossless kind; Pillow does not say."""
    with path.open("rb") as file:
        file.seek(12)
        while len(head := file.read(8)) == 8:
            kind, size = head[:4], int.from_bytes(head[4:], "little")
            if kind in (b"VP8 ", b"VP8L"):
                return kind == b"VP8L"
            file.seek(16 if kind == b"ANMF" else size + size % 2, 1)  # a frame of an animation has its pixels inside
    return False


def _kept(image: Image.Image, scale: int, notes: list[str]) -> Kept:
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
    iptc = image.info.get("photoshop", {}).get(_IPTC_IN_PHOTOSHOP) if tags is None else tags.get(_IPTC)
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
        turned = images.orientation(image) != 1 or scale != 1
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


def unfit(format_: str, height: int, width: int, *, alpha: bool, indexed: bool, asked: bool) -> str | None:
    """Why a result cannot be written in this format and becomes a PNG; None where it can.

    ``asked``: the user named the format, so that it may cost the transparency.
    """
    if format_ == "PNG":
        return None
    name = format_.lower()
    if indexed and format_ in ("JPEG", "WEBP"):
        return f"{name} would change class indices, so it is written as PNG"
    if alpha and format_ not in WITH_ALPHA and not asked:
        return f"{name} has no transparency, so it is written as PNG"
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
    quality: int = 95,
    lossless: bool = False,
    indexed: bool = False,
    source: str | None = provenance.COMPOSITE,
) -> list[str]:
    """Encode a result into ``file``; returns notes for the user.

    ``canvas``: 1, 3 or 4 channels. ``alpha``: (H, W) of the photo, resized (bicubic) where the result is larger; a
    fourth channel of the canvas stands before it. ``lossless``: for WebP, whatever the ``quality``. ``indexed``: the
    values are class indices, no colours. ``source``: what its XMP says of how it was made (``provenance.COMPOSITE``),
    None for nothing.
    """
    notes: list[str] = []
    height, width, channels = canvas.shape
    colours = b"GRAY" if channels == 1 and format_ != "WEBP" else b"RGB "  # WebP has no grey
    if kept.icc is not None and (indexed or kept.icc[16:20] != colours):
        notes.append("its colour profile is for other channels and is left out")
        kept = replace(kept, icc=None)
    kept = _that_fits(kept, format_, notes)
    xmp = None
    if kept.xmp is not None:
        xmp = provenance.amended(kept.xmp, source)
        if xmp is None or (format_ == "JPEG" and len(xmp) > LONGEST_XMP):
            notes.append("its XMP cannot be carried over and is left out")
            xmp = None
    if xmp is None and source is not None:
        xmp = provenance.packet(source)
    layer = None if alpha is None or channels == 4 else Image.fromarray(alpha)
    if format_ == "PNG":
        writer = PngWriter(
            file,
            width,
            height,
            channels + (layer is not None),
            icc=kept.icc,
            exif=kept.exif,
            xmp=xmp,
            dpi=kept.dpi,
        )
        for top, rows in canvas.bands():
            if layer is not None:
                rows = np.concatenate([rows, _enlarged(layer, width, height, top, len(rows))], axis=2)
            writer.rows(rows)
        writer.close()
        return notes
    pixels = canvas.read(0, height)
    if layer is not None:
        mask = _enlarged(layer, width, height, 0, height)
        if format_ in WITH_ALPHA:
            pixels = np.concatenate([pixels, mask], axis=2)
        else:
            pixels = _on_white(pixels, mask)
            notes.append(f"{format_.lower()} has no transparency; it is laid on white")
    elif channels == 4 and format_ not in WITH_ALPHA:
        pixels = _on_white(pixels[:, :, :3], pixels[:, :, 3:])
        notes.append(f"{format_.lower()} has no transparency; it is laid on white")
    if format_ == "WEBP" and pixels.shape[2] == 2:
        pixels = np.concatenate([pixels[:, :, :1]] * 3 + [pixels[:, :, 1:]], axis=2)
    picture = Image.fromarray(pixels if pixels.shape[2] > 1 else pixels[:, :, 0])
    picture.save(file, format=format_, **_settings(format_, kept, xmp, quality, lossless, notes))
    return notes


def _that_fits(kept: Kept, format_: str, notes: list[str]) -> Kept:
    """Without the IPTC block and the comment that the format, or its marker, has no room for."""
    most = {"JPEG": LONGEST_IPTC, "TIFF": math.inf}.get(format_, 0)
    if kept.iptc is not None and len(kept.iptc) > most:
        notes.append(f"its IPTC block (caption, copyright) has no room in {format_.lower()} and is left out")
        kept = replace(kept, iptc=None)
    if kept.comment is not None and len(kept.comment) > (LONGEST_COMMENT if format_ == "JPEG" else 0):
        notes.append(f"its comment has no room in {format_.lower()} and is left out")
        kept = replace(kept, comment=None)
    return kept


def _app13(iptc: bytes) -> bytes:
    """A JPEG's marker that holds an IPTC block, as Photoshop frames it."""
    resource = b"8BIM" + _IPTC_IN_PHOTOSHOP.to_bytes(2, "big") + b"\0\0" + len(iptc).to_bytes(4, "big") + iptc
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
        case "TIFF":
            tags = Image.Exif()
            if exif is not None:
                tags.load(exif)
            if xmp is not None:
                tags[provenance.TIFF_TAG] = xmp
            if kept.iptc is not None:
                tags[_IPTC] = kept.iptc
            # Not compressed: Pillow writes EXIF's inner blocks by itself, but not through libtiff.
            settings = {"compression": "raw", "icc_profile": kept.icc, "dpi": kept.dpi, "exif": tags}
            return {name: value for name, value in settings.items() if value is not None}
        case _:
            if xmp is not None or exif is not None or kept.icc is not None:
                notes.append(f"{format_.lower()} holds no metadata, so it does not say how it was made")
            return {"dpi": kept.dpi} if format_ == "BMP" and kept.dpi else {}
    settings |= {"exif": exif, "icc_profile": kept.icc, "dpi": kept.dpi}
    return {name: value for name, value in settings.items() if value is not None}


def _enlarged(layer: Image.Image, width: int, height: int, top: int, rows: int) -> Pixels:
    """Rows of the alpha layer at the result's size, (rows, width, 1)."""
    scale = width // layer.width
    # A few rows beyond those that are wanted, which the filter reads: bands of one picture fit together.
    first, last = max(0, top // scale - 4), min(layer.height, -(-(top + rows) // scale) + 4)
    part = layer.crop((0, first, layer.width, last))
    if scale > 1:
        part = part.resize((width, (last - first) * scale), Image.Resampling.BICUBIC)
    return np.asarray(part)[top - first * scale :][:rows, :, None]


def _on_white(pixels: Pixels, mask: Pixels) -> Pixels:
    share = mask.astype(np.uint16)
    mixed: Pixels = ((pixels * share + 255 * (255 - share) + 127) // 255).astype(np.uint8)
    return mixed
