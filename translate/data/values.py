"""What the numbers in a picture file mean: the one rule for every format that is opened.

Pixels are uint8 (0 is black, 255 white), uint16 (65535 is white) or float32 (1 is white). Whole numbers of up to 8 bits
become the first, of up to 16 the second, others the third: 0 is black and the largest number that their bits hold is
white. Of floating-point numbers 0 is black and 1 white. Signed numbers have no such rule, and numbers beyond it are
never guessed at: both are refused unless a range (``--range``) says which numbers are black and white. With a range all
become float32, clipped to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

Pixels: TypeAlias = NDArray[np.uint8 | np.uint16 | np.float32]
"""(H, W, C): uint8, uint16 or float32, black 0 and white ``white_of`` their type."""


class RefusedError(ValueError):
    """A picture that we refuse; the message is the reason."""


@dataclass(frozen=True)
class Numbers:
    """How numbers are stored in a file: their NumPy ``type``, and which of them are ``black`` and ``white``."""

    type: str = "uint8"
    black: float = 0.0
    white: float = 255.0

    @property
    def bits(self) -> int:
        """8 or 16 where black and white are the ends of an unsigned type of so many bits, else 32 (as floats)."""
        return next((bits for bits, numbers in WHOLE.items() if numbers == self), 32)


WHOLE = {8: Numbers(), 16: Numbers("uint16", 0.0, 65535.0)}
"""Bit depth -> numbers of which the whole range of their type is used."""

AT_ONCE = 1 << 20
"""Numbers that are converted at once."""

FLOATS = Numbers("float32", 0.0, 1.0)


def white_of(kind: np.dtype[Any]) -> float:
    """White in pixels of this type."""
    return {"uint8": 255.0, "uint16": 65535.0}.get(kind.name, 1.0)


def to_pixels(values: NDArray[Any], bits: int, range_: tuple[float, float] | None) -> tuple[Pixels, Numbers]:
    """A file's numbers as pixels, by the rule above, and how they were stored.

    ``bits``: of whole numbers, as the file states it. Raises ``RefusedError`` for what has no meaning by the rule.
    """
    kind = values.dtype.kind
    if kind not in "buif":
        raise RefusedError(f"its numbers are of type {values.dtype}; expected whole or floating-point ones")
    if kind == "f" and not bool(np.isfinite(values).all()):
        raise RefusedError("some of its numbers are not finite")
    name = "uint8" if kind == "b" else values.dtype.newbyteorder("=").name
    if range_ is not None:
        low, high = range_
        least, most = (-math.inf, math.inf) if kind == "f" else _reach(values.dtype, bits)
        if low < least or high > most:
            raise RefusedError(f"numbers of type {name} never reach {low:g}..{high:g}, the range of black and white")

        def share(band: NDArray[Any]) -> NDArray[Any]:
            return np.clip((band.astype(np.float64) - low) / (high - low), 0, 1)

        return in_bands(share, values, np.float32), Numbers(name, low, high)
    if kind == "i":
        raise RefusedError(f"signed numbers ({name}) have no agreed black and white; expected --range LOW..HIGH")
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    white = 1.0 if kind == "f" else float(2**bits - 1)
    if low < 0 or high > white:
        raise RefusedError(
            f"its numbers go from {low:g} to {high:g}; expected 0 (black) to {white:g} (white), or --range LOW..HIGH"
        )
    if kind == "f":
        return values.astype(np.float32), Numbers(name, 0.0, 1.0)
    if bits > 16:
        return in_bands(lambda band: band / white, values, np.float32), Numbers(name, 0.0, white)
    depth = 8 if bits <= 8 else 16
    to = np.dtype(WHOLE[depth].type)
    if white == white_of(to):
        return values.astype(to), WHOLE[depth]
    factor = white_of(to) / white
    return in_bands(lambda band: np.rint(band * factor), values, to), WHOLE[depth]


def _reach(kind: np.dtype[Any], bits: int) -> tuple[float, float]:
    """The ends of whole numbers of so many bits."""
    return (0.0, float(2**bits - 1)) if kind.kind in "bu" else (-float(2 ** (bits - 1)), float(2 ** (bits - 1) - 1))


def to_numbers(pixels: Pixels, numbers: Numbers) -> NDArray[Any]:
    """Pixels as the numbers of a file; the inverse of ``to_pixels``."""
    kind = np.dtype(numbers.type)
    white = white_of(pixels.dtype)
    if pixels.dtype == kind and (numbers.black, numbers.white) == (0.0, white):
        return pixels

    def stored(band: NDArray[Any]) -> NDArray[Any]:
        values = band.astype(np.float64) * ((numbers.white - numbers.black) / white) + numbers.black
        if kind.kind == "f":
            return values
        limits = np.iinfo(kind)
        return np.clip(np.rint(values), limits.min, limits.max)

    return in_bands(stored, pixels, kind)


def at_depth(pixels: Pixels, kind: np.dtype[Any]) -> Pixels:
    """The same pixels in another of the three types."""
    if pixels.dtype == kind:
        return pixels
    factor = white_of(kind) / white_of(pixels.dtype)

    def converted(band: NDArray[Any]) -> NDArray[Any]:
        share = band.astype(np.float64) * factor
        return share if kind.kind == "f" else np.rint(share)

    return in_bands(converted, pixels, kind)


def in_bands(
    change: Callable[[NDArray[Any]], NDArray[Any]], values: NDArray[Any], kind: DTypeLike, channels: int | None = None
) -> NDArray[Any]:
    """``change`` of values (H, W, ...), as type ``kind``: a few rows at a time, as its steps take much memory.

    ``channels``: of the result, where it has others than the values.
    """
    shape = values.shape if channels is None else (*values.shape[:2], channels)
    changed = np.empty(shape, kind)
    rows = max(1, AT_ONCE // max(1, math.prod(values.shape[1:])))
    for top in range(0, len(values), rows):
        changed[top : top + rows] = change(values[top : top + rows])
    return changed
