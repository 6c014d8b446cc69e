"""How picture files are opened: the settings that training and ``gantk infer`` share. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from translate.errors import UsageError, did_you_mean

FORMATS = (
    *("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "MPO", "JPEG2000", "AVIF", "HEIF", "DIB", "ICO", "PCX"),
    *("QOI", "SGI", "TGA"),
)
"""Formats that are opened, by Pillow's names (HEIF: pillow-heif's): none of their readers runs anything."""

MORE_FORMATS = (
    *("BLP", "CUR", "DCX", "DDS", "FITS", "FLI", "FTEX", "GBR", "ICNS", "IM", "IMT", "MCIDAS", "MSP", "PCD", "PIXAR"),
    *("PSD", "SPIDER", "SUN", "XBM", "XPM", "XVTHUMB"),
)
"""Formats that ``--allow-format`` adds: rare, and their readers less tried. Those that draw a page (EPS, WMF) are on
no list, as Pillow starts Ghostscript or asks the system for that."""

MAX_PIXELS = 178_956_970
"""Pixels beyond which a picture is refused unread: where Pillow itself stops (as a suspected decompression bomb)."""


@dataclass(frozen=True)
class Reading:
    """Which files are opened. ``formats``: Pillow's names. ``max_pixels``: more are refused unread."""

    formats: tuple[str, ...] = FORMATS
    max_pixels: int = MAX_PIXELS

    @property
    def key(self) -> str:
        """Changes when the pixels of a file that opens would: part of the name of a cache."""
        return ""


STANDARD = Reading()


def formats_with(allowed: Sequence[str]) -> tuple[str, ...]:
    """``FORMATS`` and what ``--allow-format`` adds to them. Raises ``UsageError`` for any other name."""
    added = tuple(name.upper() for name in allowed)
    for given, name in zip(allowed, added, strict=True):
        if name not in (*FORMATS, *MORE_FORMATS):
            hint = did_you_mean(name, list(MORE_FORMATS))
            raise UsageError(f"--allow-format {given}: expected one of {', '.join(MORE_FORMATS)}{hint}")
    return FORMATS + tuple(name for name in dict.fromkeys(added) if name not in FORMATS)
