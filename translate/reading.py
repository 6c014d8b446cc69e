"""How picture files are opened: the settings that training and ``gantk infer`` share. Imports nothing heavy."""

from __future__ import annotations

import math
import re
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from translate.console import current
from translate.errors import UsageError, did_you_mean

FORMATS = (
    *("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "MPO", "JPEG2000", "AVIF", "HEIF", "DIB", "ICO", "PCX"),
    *("QOI", "SGI", "TGA", "NPY"),
)
"""Formats that are opened, by Pillow's names (HEIF: pillow-heif's, NPY: NumPy's): no reader of them runs anything."""

MORE_FORMATS = (
    *("BLP", "CUR", "DCX", "DDS", "FITS", "FLI", "FTEX", "GBR", "ICNS", "IM", "IMT", "MCIDAS", "MSP", "PCD", "PIXAR"),
    *("PSD", "SPIDER", "SUN", "XBM", "XPM", "XVTHUMB"),
)
"""Formats that ``--allow-format`` adds: rare, and their readers less tried. Those that draw a page (EPS, WMF) are on
no list, as Pillow starts Ghostscript or asks the system for that."""

MAX_PIXELS = 178_956_970
"""Pixels beyond which a picture is refused unread: where Pillow itself stops (as a suspected decompression bomb)."""

LUMA_WEIGHTS = (0.299, 0.587, 0.114)
"""What red, green and blue add to the luma (ITU-R BT.601, as JPEG and Pillow take it)."""


Hidden: TypeAlias = Literal["fill", "white"]
"""What stands in for colours that no one sees, as their alpha is 0: those of the nearest visible pixels, or white (on
which all the picture is laid then, where the network takes no transparency)."""


@dataclass(frozen=True)
class Percentiles:
    """Black and white as shares of a data set's numbers, in percent."""

    low: float
    high: float


class Remarks:
    """What a user should know of the files of a folder, counted from any thread and reported once."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, notes: Iterable[str]) -> None:
        """Count the notes of one file."""
        with self._lock:
            self._counts.update(notes)

    def report(self) -> None:
        """Report what was counted so far."""
        with self._lock:
            for note, count in sorted(self._counts.items()):
                current().line(f"{self._folder}: {note} ({count} {'file' if count == 1 else 'files'})")
            self._counts.clear()


@dataclass(frozen=True)
class Reading:
    """Which files are opened, and how they become pixels.

    ``formats``: Pillow's names. ``max_pixels``: more are refused unread. ``range``: the numbers in the files that are
    black and white, -1 and 1 for a network; None: what their type says. ``hidden``: see ``Hidden``. ``remarks``:
    receives what a user should know of each file that is decoded.
    """

    formats: tuple[str, ...] = FORMATS
    max_pixels: int = MAX_PIXELS
    range: tuple[float, float] | None = None
    hidden: Hidden = "fill"
    remarks: Remarks | None = field(default=None, compare=False, repr=False)

    @property
    def key(self) -> str:
        """Changes when the pixels of a file that opens would: part of the name of a cache."""
        return f"{self.range} {self.hidden}"


STANDARD = Reading()


def formats_with(allowed: Sequence[str]) -> tuple[str, ...]:
    """``FORMATS`` and what ``--allow-format`` adds to them. Raises ``UsageError`` for any other name."""
    added = tuple(name.upper() for name in allowed)
    for given, name in zip(allowed, added, strict=True):
        if name not in (*FORMATS, *MORE_FORMATS):
            hint = did_you_mean(name, list(MORE_FORMATS))
            raise UsageError(f"--allow-format {given}: expected one of {', '.join(MORE_FORMATS)}{hint}")
    return FORMATS + tuple(name for name in dict.fromkeys(added) if name not in FORMATS)


_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})(%?)\.\.({_NUMBER})(%?)", re.IGNORECASE)


def parse_range(text: str) -> tuple[float, float] | Percentiles:
    """``0..4095`` or, of the numbers of all files, ``0.5%..99.5%``. Raises ``UsageError`` for anything else."""
    match = _RANGE.fullmatch(text)
    if match is None or match.group(2) != match.group(4):
        raise UsageError(f"--range {text}: expected the numbers of black and white, such as 0..4095, or 1%..99%")
    low, high = float(match.group(1)), float(match.group(3))
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(f"--range {text}: expected two different numbers, the smaller one first")
    if not match.group(2):
        return low, high
    if not 0 <= low < high <= 100:
        raise UsageError(f"--range {text}: expected percentages from 0 to 100")
    return Percentiles(low, high)


def parse_ranges(given: Sequence[str]) -> dict[str, tuple[float, float] | Percentiles]:
    """``--range`` of a training run: one for all pictures (under the name ""), or ``a=0..4095`` for those of a name."""
    ranges: dict[str, tuple[float, float] | Percentiles] = {}
    for text in given:
        name, _, range_ = text.rpartition("=")
        if name in ranges:
            raise UsageError(f"--range {text}: {name or 'all pictures'} have a range already")
        ranges[name] = parse_range(range_)
    return ranges
