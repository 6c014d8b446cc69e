"""From the values of networks, which lie in [-1, 1] or are class planes, to the pixels of results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from translate.contract import DataSpec
from translate.data.values import FLOATS, WHOLE, Numbers, Pixels, white_of

_VISIBLE = 8 / 255
"""Share of black to white by which a picture must vary before a result that does not is a fault."""


@dataclass(frozen=True)
class Levels:
    """What comes out of a direction.

    ``out_channels``: of the network. ``index_out``: whether they are classes. ``bits``: of the results, where the user
    wants another depth than the photo's. ``range_out``: the numbers that are black and white in the domain of the
    results, where it has a range of its own.
    """

    out_channels: int
    index_out: bool
    bits: int | None = None
    range_out: tuple[float, float] | None = None

    @property
    def planes_out(self) -> int:
        """Channels of a result as pixels: one for class indices."""
        return 1 if self.index_out else self.out_channels

    @classmethod
    def of(cls, data: DataSpec, out: str, bits: int | None) -> Levels:
        """What a direction to domain ``out`` gives, of a model trained on ``data``."""
        return cls(data.channels[out], out in data.indexed, bits, data.ranges.get(out))

    def numbers(self, own: Numbers) -> Numbers:
        """How the result of a photo is stored, which stores ``own``: as that is, unless something else is wanted."""
        if self.index_out:
            return WHOLE[8]
        black, white = self.range_out or ((own.black, own.white) if own not in WHOLE.values() else (0.0, 1.0))
        if self.bits is not None:
            return WHOLE.get(self.bits, Numbers("float32", black, white))
        if self.range_out is None:
            return own
        kind = np.dtype(own.type)
        fits = kind.kind == "f" or (np.iinfo(kind).min <= black and white <= np.iinfo(kind).max)
        return Numbers(own.type if fits else "float32", black, white)

    def kind(self, own: np.dtype[Any]) -> np.dtype[Any]:
        """The type of a result's pixels: its photo's ``own``, unless something else is wanted."""
        if self.index_out or self.bits == 8:
            return np.dtype(np.uint8)
        if self.bits == 16:
            return np.dtype(np.uint16)
        return np.dtype(FLOATS.type) if self.bits == 32 or self.range_out is not None else own

    def to_pixels(self, y: Tensor, kind: np.dtype[Any]) -> Pixels:
        """Network values (N, C, H, W) as (N, H, W, C), rounded and clamped; class planes as indices."""
        return _on_host(y.argmax(1, keepdim=True), kind) if self.index_out else to_pixels(y, kind)

    def trouble(self, finite: bool, extent: tuple[float, float], varied: Callable[[], bool]) -> str | None:
        """What is wrong with a result whose pixels go from one to the other of ``extent``, shares of white.

        ``varied``: whether what it was made of ``varies``.
        """
        if not finite:
            return "the network's output is not finite"
        low, high = extent
        if high - low < 0.5 / 255 and not self.index_out and varied():
            return f"the network's output is constant ({round(low * 255)} of 255)"
        return None


def varies(extent: tuple[float, float]) -> bool:
    """Whether a picture of this ``extent`` varies so much that a result that does not is a fault."""
    return extent[1] - extent[0] > _VISIBLE


def extent(pixels: Pixels) -> tuple[float, float]:
    """The smallest and the largest of some pixels, as shares of white."""
    white = white_of(pixels.dtype)
    return float(pixels.min()) / white, float(pixels.max()) / white


def to_pixels(y: Tensor, kind: np.dtype[Any]) -> Pixels:
    """Network values (N, C, H, W) in [-1, 1] as pixels (N, H, W, C) of type ``kind``, rounded and clamped."""
    white = white_of(kind)
    levels = (y.float() + 1) * (white / 2)
    return _on_host((levels if kind.kind == "f" else levels.round_()).clamp_(0, white), kind)


def _on_host(levels: Tensor, kind: np.dtype[Any]) -> Pixels:
    if kind == np.uint8:  # a quarter of the transfer
        levels = levels.to(torch.uint8)
    pixels: Pixels = levels.permute(0, 2, 3, 1).contiguous().cpu().numpy().astype(kind, copy=False)
    return pixels
