"""Colour profiles: what is not RGB is converted to sRGB through its profile; RGB stays as it is, with its profile."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

from PIL import Image, ImageCms


def to_srgb(image: Image.Image, notes: list[str]) -> Image.Image:
    """A print (CMYK) through its profile, or by a note without, and Lab, as sRGB; any other picture as it is."""
    if image.mode == "LAB":  # Pillow's convert refuses it
        return _converted(image, ImageCms.createProfile("LAB"))
    if image.mode != "CMYK":
        return image
    profile = image.info.get("icc_profile")
    if profile:
        try:
            return _converted(image, ImageCms.ImageCmsProfile(io.BytesIO(profile)))
        except (ImageCms.PyCMSError, OSError):
            notes.append("CMYK with a damaged colour profile: its colours are a guess")
            return image.convert("RGB")
    notes.append("CMYK without a colour profile: its colours are a guess")
    return image.convert("RGB")


def _converted(image: Image.Image, profile: Any) -> Image.Image:
    converted = ImageCms.profileToProfile(
        image,
        profile,
        _srgb(),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert converted is not None
    return converted


@cache
def _srgb() -> Any:
    return ImageCms.createProfile("sRGB")
