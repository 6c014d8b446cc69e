"""An invisible mark in pictures, and a test for it: spread spectrum, with a p-value that holds for every picture.

Additive spread spectrum as Cox et al. (1997, "Secure spread spectrum watermarking for multimedia") proposed it. The key
gives the phases of a pattern of ``PERIOD`` pixels whose spectrum is flat in a ring of frequencies; it is repeated over
the picture and added to all colours alike, stronger where the picture is rough. The period is why a cut piece suffices:
wherever it was cut, the piece holds the pattern, shifted in a circle.

The test divides the picture's fine detail by its local strength, adds up all periods, and correlates them with the
pattern at every shift. For a picture that knows nothing of the key, each correlation is a sum of cosines of independent
uniform phases, so it is sub-Gaussian whatever the picture holds (Hoeffding, 1963): a score of z has a probability of at
most exp(-z^2 / 2), and the p-value is that times the number of shifts, sizes, mirrorings and parts that were tried.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from translate.errors import UsageError
from translate.reading import LUMA_WEIGHTS

Plane: TypeAlias = NDArray[np.float64]
"""(H, W), brightness from 0 to 255."""

PERIOD = 64
"""Pixels after which the pattern begins anew, down and across."""

RING = (0.12, 0.33)
"""Frequencies of the pattern in cycles per pixel: coarse enough for JPEG at 75 and for half the size (which keeps them
up to 0.25), fine enough to differ from what photos hold."""

COARSE = 0.18
"""Frequency in cycles per pixel below which the test looks again: half the size and JPEG together leave no more."""

FAINT, STRONG = 1.0, 1.95
"""Standard deviation of the mark in levels of 8 bits, where the picture is smooth and where it is rough. The latter
bounds the mean square of every marked picture: a PSNR of 42.2 dB or more, rounding included."""

SIZES = (1.0, 0.5, 2.0, 2 / 3, 0.75, 1.5)
"""Sizes, as shares of the marked picture's, that the test tries."""

LEVEL = 1e-6
"""P-value below which a picture counts as marked."""

HALO = 3
"""Rows beyond a band of rows on which its mark depends."""

LARGEST_LOOK = 2048
"""Side in pixels of the square in a picture's middle that the test looks at."""

SHORTEST_KEY = 8
"""Characters; a shorter key could be found by trying them all."""


def read_key(flag: str, text: str) -> str:
    """The key that a user gave: ``text`` itself, or what the file at PATH holds where it is ``@PATH``.

    A file keeps it out of the list of processes that everyone on a machine can read. Space at its ends is no part of
    it. Raises ``UsageError`` that names ``flag``, and never the key.
    """
    key = text
    if text.startswith("@"):
        path = Path(text[1:])
        try:
            key = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise UsageError(f"{flag} @{path}: cannot be read; expected a text file that holds the key") from None
    key = key.strip()
    if len(key) < SHORTEST_KEY:
        raise UsageError(f"{flag}: expected a key of at least {SHORTEST_KEY} characters, or @FILE")
    return key


@dataclass(frozen=True)
class Detection:
    """What the test found. ``p_value``: an upper bound of the probability that a picture without this key's mark scores
    as high. ``size``: the picture's as a share of the marked picture's, where it scored best."""

    p_value: float
    size: float


class Watermark:
    """The mark of one key. The same key gives the same mark on every machine."""

    def __init__(self, key: str) -> None:
        self._key = key

    @cached_property
    def pattern(self) -> Plane:
        """(PERIOD, PERIOD), of mean 0 and variance 1."""
        down, across = _frequencies()
        radius = np.hypot(down, across) / PERIOD
        ring = (radius >= RING[0]) & (radius <= RING[1])
        digest = hashlib.shake_256(b"gantk watermark 1\0" + self._key.encode()).digest(4 * PERIOD**2)
        phases = np.frombuffer(digest, "<u4").reshape(PERIOD, PERIOD) * (2 * math.pi / 2**32)
        # Of two opposite frequencies one has the phase of the key and the other its negative: a real pattern of which
        # all amplitudes are equal, as the bound of the p-value wants it.
        first = ring & ((down > 0) | ((down == 0) & (across > 0)))
        spectrum = np.where(first, np.exp(1j * phases), 0)
        pattern = np.fft.ifft2(spectrum).real
        return np.asarray(pattern / pattern.std())

    def mark(self, pixels: NDArray[Any], white: float, top: int = 0) -> NDArray[Any]:
        """The marked picture, or a band of its rows, of the same type.

        ``pixels``: (H, W, C) with ``white`` as the value of white; of two or four channels the last is transparency
        and stays. ``top``: which row of the picture the first one is.
        """
        height, width, _ = pixels.shape
        colours = colours_of(pixels, white)
        rows = (np.arange(height) + top) % PERIOD
        tiled = self.pattern[rows][:, np.arange(width) % PERIOD]
        marked = (colours + (_strength(brightness(colours)) * tiled)[:, :, None]) * (white / 255)
        result = pixels.copy()
        whole = np.issubdtype(pixels.dtype, np.integer)
        result[:, :, : colours.shape[2]] = np.clip(np.rint(marked) if whole else marked, 0, white)
        return result

    def detect(self, plane: Plane, sizes: tuple[float, ...] = SIZES) -> Detection:
        """Look for the mark in a picture's brightness, (H, W) from 0 to 255."""
        best, found = -math.inf, 1.0
        spectrum = np.conj(np.fft.fft2(self.pattern))
        parts = (spectrum, np.where(np.hypot(*_frequencies()) <= COARSE * PERIOD, spectrum, 0))
        middle = _middle(plane)
        for size in sizes:
            detail = _detail(middle if size == 1 else _resized(middle, 1 / size))
            for one in (detail, detail[:, ::-1]):
                if (score := max(_score(one, part) for part in parts)) > best:
                    best, found = score, size
        tried = PERIOD**2 * len(sizes) * 2 * len(parts)
        return Detection(min(1.0, tried * math.exp(-(max(best, 0.0) ** 2) / 2)), found)


def colours_of(pixels: NDArray[Any], white: float) -> NDArray[np.float64]:
    """(H, W, C) without its transparency, from 0 to 255; see ``Watermark.mark``."""
    channels = pixels.shape[2]
    return pixels[:, :, : channels - (channels in (2, 4))].astype(np.float64) * (255 / white)


def brightness(colours: NDArray[Any]) -> Plane:
    """(H, W) of a picture (H, W, C) of one channel or three; of others their mean."""
    if colours.shape[2] == 3:
        return np.asarray(colours @ np.array(LUMA_WEIGHTS))
    return np.asarray(colours.mean(axis=2, dtype=np.float64))


def _frequencies() -> tuple[Plane, Plane]:
    """Whole cycles in a period, down (PERIOD, 1) and across (1, PERIOD)."""
    cycles: Plane = np.fft.fftfreq(PERIOD, 1 / PERIOD).astype(np.float64)
    return cycles[:, None], cycles[None, :]


def _strength(plane: Plane) -> Plane:
    """Standard deviation of the mark at each pixel, by the deviation of its 7 x 7 neighbours."""
    from scipy.ndimage import uniform_filter  # loaded for marked pictures alone

    side = 2 * HALO + 1
    mean = uniform_filter(plane, side)
    variance = np.maximum(uniform_filter(plane**2, side) - mean**2, 0)
    return np.asarray(np.clip(FAINT + 0.1 * (np.sqrt(variance) - 2), FAINT, STRONG))


def _detail(plane: Plane) -> Plane:
    """What a matched filter reads: fine detail, weighted by what is to be expected around it."""
    from scipy.ndimage import gaussian_filter, uniform_filter

    rough = plane - gaussian_filter(plane, 3)
    return np.asarray(rough / (uniform_filter(rough**2, 7) + 4) ** 0.75)


def _score(detail: Plane, conjugate: NDArray[np.complex128]) -> float:
    """The largest correlation over all shifts, in units of the deviation that its bound is made of."""
    height, width = (-(-side // PERIOD) * PERIOD for side in detail.shape)
    padded = np.zeros((height, width))
    padded[: detail.shape[0], : detail.shape[1]] = detail
    folded = padded.reshape(height // PERIOD, PERIOD, width // PERIOD, PERIOD).sum(axis=(0, 2))
    spectrum = np.fft.fft2(folded)
    # Photos hold more of the coarse than of the fine: by the root of the mean power at each radius, which tells
    # nothing of the key.
    radius = np.rint(np.hypot(*_frequencies())).astype(int)
    counts = np.maximum(np.bincount(radius.ravel()), 1)
    power = np.bincount(radius.ravel(), (np.abs(spectrum) ** 2).ravel()) / counts
    weighted = spectrum / np.sqrt(power[radius] + 1e-12)
    product = weighted * conjugate
    variance = float((np.abs(product) ** 2).sum()) / PERIOD**4
    if variance < 1e-20:  # nothing but a plain colour
        return 0.0
    return float(np.fft.ifft2(product).real.max() / math.sqrt(variance))


def _middle(plane: Plane) -> Plane:
    """The middle of a large picture."""
    cuts = []
    for side in plane.shape:
        first = max(0, (side - LARGEST_LOOK) // 2)
        cuts.append(slice(first, first + LARGEST_LOOK))
    return plane[cuts[0], cuts[1]]


def _resized(plane: Plane, factor: float) -> Plane:
    height, width = plane.shape
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(Image.fromarray(plane.astype(np.float32)).resize(size, Image.Resampling.BICUBIC), np.float64)
