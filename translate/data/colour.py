"""Colour profiles: what is not RGB is converted to sRGB through its profile; RGB stays as it is, with its profile."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from translate.data.values import Pixels


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


def pixels_to_srgb(pixels: Pixels, profile: bytes) -> Pixels:
    """Grey or RGB (H, W, C) of a profile as sRGB, at their depth; as they are where it is sRGB itself.

    Raises ``ValueError`` where the profile is damaged, or for other channels.
    """
    import imagecodecs

    colours = {b"RGB ": "rgb", b"GRAY": "gray"}.get(profile[16:20])
    count = pixels.shape[2]
    if colours is None or (colours == "rgb" and count == 1):
        raise ValueError(f"a profile of {profile[16:20].decode('latin-1').strip()} for {count} channels")
    try:
        if "srgb" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).lower():
            return pixels
        own = np.ascontiguousarray(pixels[:, :, :3] if colours == "rgb" else pixels[:, :, 0])
        converted: Pixels = imagecodecs.cms_transform(
            own, profile, imagecodecs.cms_profile("srgb"), colorspace=colours, outcolorspace="rgb"
        )
    except (ImageCms.PyCMSError, OSError, imagecodecs.CmsError) as error:
        raise ValueError(f"a damaged colour profile ({error})") from None
    if pixels.dtype.kind == "f":
        converted = np.clip(converted, 0, 1)
    return converted[:, :, :1] if count == 1 else np.dstack([converted, pixels[:, :, 3:]])
