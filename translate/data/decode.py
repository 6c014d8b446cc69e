"""Image files, decoded into pixels."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from translate.data.formats import ImageError as ImageError
from translate.data.formats import TooLargeError as TooLargeError
from translate.data.formats import image_error, open_header
from translate.errors import UsageError
from translate.reading import STANDARD, Reading

Pixels: TypeAlias = NDArray[np.uint8]
"""uint8 (H, W, C) with 1 (grey), 3 (RGB) or 4 (RGBA, not premultiplied) channels."""

LOOKED_AT = 256
"""Files whose headers decide whether a folder looks grey: a few hundredths of a second, however many there are."""

_MODES: dict[int, Literal["L", "RGB", "RGBA"]] = {1: "L", 3: "RGB", 4: "RGBA"}
_ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what makes the picture upright; 1 and whatever is not listed need nothing."""


def open_image(path: Path, channels: int, reading: Reading = STANDARD) -> Pixels:
    """The picture in a file, upright, as uint8 (H, W, ``channels``).

    Recognised by content. Of an animation, the first frame. EXIF orientation is applied; colour profiles are not.
    16-bit and floating-point (0 to 1, or else 0 to 255) values are scaled to 8 bits. Grey becomes equal RGB and RGB
    becomes luma (ITU-R 601). Where ``channels`` has no room for transparency, the picture is laid on white. Raises
    ``ImageError`` for whatever cannot be decoded whole, ``TooLargeError`` for more than ``reading.max_pixels`` pixels.
    """
    return pixels_of(open_picture(path, channels, reading))


def open_picture(path: Path, channels: int, reading: Reading = STANDARD) -> Image.Image:
    """As ``open_image``, as Pillow's image: for what Pillow does next."""
    if channels not in _MODES:
        raise UsageError(f"channels must be 1, 3 or 4, not {channels}")
    try:
        with open_header(path, reading) as image:
            image.load()
            step = UPRIGHT.get(orientation(image))
            picture = in_mode(image, channels)
            return picture if step is None else picture.transpose(step)
    except Exception as error:
        # Pillow's decoders raise anything from struct.error to TypeError on broken input.
        raise image_error(path, error) from None


def pixels_of(picture: Image.Image) -> Pixels:
    """uint8 (H, W, C) of a picture in Pillow's mode L, RGB or RGBA."""
    pixels = np.asarray(picture)
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def probe(path: Path, reading: Reading = STANDARD) -> tuple[int, int, str]:
    """Width and height as ``open_image`` will give them, and Pillow's mode, from the file's header alone."""
    try:
        with open_header(path, reading) as image:
            width, height = image.size
            # Pillow swaps a TIFF's sides itself; a PNG's EXIF may stand behind the pixels, where a header ends.
            known = image.format != "TIFF" and (image.format != "PNG" or _has_exif(image))
            if known and orientation(image) in (5, 6, 7, 8):
                width, height = height, width
            return width, height, image.mode
    except Exception as error:
        raise image_error(path, error) from None


def is_grey(mode: str) -> bool:
    """Whether Pillow's mode has one channel of brightness, apart from transparency."""
    return mode in {"1", "L", "LA", "La", "F"} or mode.startswith("I")


def look_grey(paths: Sequence[Path], reading: Reading = STANDARD) -> bool:
    """Whether the headers of some files, evenly spread over all, all say grey; unreadable ones say nothing.

    Spread, as a folder may begin with its grey pictures: those of one sub-folder, or of one source.
    """
    grey = False
    count = min(len(paths), LOOKED_AT)
    for number in range(count):
        with suppress(ImageError):
            grey = is_grey(probe(paths[number * (len(paths) - 1) // max(1, count - 1)], reading)[2])
            if not grey:
                return False
    return grey


def _has_exif(image: Image.Image) -> bool:
    return "exif" in image.info or "Raw profile type exif" in image.info


def orientation(image: Image.Image) -> int:
    """The EXIF orientation that a picture states, 1 (upright) where it states none."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # broken metadata does not make a picture unreadable
        return 1


def in_mode(image: Image.Image, channels: int) -> Image.Image:
    """Whatever Pillow decoded, as L (1 channel), RGB (3) or RGBA (4); on white where transparency has no place.

    Raises ``ValueError`` where 16-bit or floating-point values are beyond their range.
    """
    mode = _MODES[channels]
    if image.mode == "LAB":  # Pillow's convert refuses it
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
        assert converted is not None
        image = converted
    elif image.mode.startswith("I") or image.mode == "F":
        image = _eight_bit(image)
    if channels == 4 or not image.has_transparency_data:
        return image if image.mode == mode else image.convert(mode)
    layer = image.convert("RGBA")
    if layer.getchannel("A").getextrema() != (255, 255):
        layer = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return layer.convert(mode)


def _eight_bit(image: Image.Image) -> Image.Image:
    """Grey in integers of 16 or 32 bits or in floats, scaled to 8 bits; Pillow's ``convert`` would clip."""
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    if image.mode == "F":
        white = 1.0 if high <= 1 else 255.0
    else:
        bits = getattr(image, "tag_v2", {}).get(258, (16,))[0]  # TIFF's BitsPerSample; 12 is common in microscopy
        white = 4095.0 if bits == 12 else 65535.0
    if not (low >= 0 and high <= white):  # also where a value is not a number
        raise ValueError(f"{image.mode} values from {low:g} to {high:g}; expected 0 to {white:g}")
    grey = Image.fromarray(np.rint(values * (255.0 / white)).astype(np.uint8))
    hole = image.info.get("transparency")
    if isinstance(hole, int):
        grey.putalpha(Image.fromarray(np.where(values == hole, 0, 255).astype(np.uint8)))
    return grey
