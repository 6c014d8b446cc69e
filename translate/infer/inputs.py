"""What goes into a direction: a picture, or several of one size that belong together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from translate.contract import DataSpec, Direction
from translate.data.values import Pixels, white_of
from translate.infer.levels import extent, varies
from translate.infer.tiling import padded, up_to, wrapped
from translate.reading import Reading

CROP = 40
"""Side of the crops of which `statistics`' proxy is made: small ones are many, and so speak for the whole picture."""


@dataclass(frozen=True)
class Input:
    """One of the domains that a direction reads.

    ``name``: in the batch. ``channels``: of the network. ``indexed``: whether its pixels are indices. ``reading``: how
    its files become pixels.
    """

    name: str
    channels: int
    indexed: bool
    reading: Reading

    @property
    def planes(self) -> int:
        """Channels of a picture as pixels: one for indices."""
        return 1 if self.indexed else self.channels

    def blank(self, side: int) -> Pixels:
        """A square picture, for trials."""
        return np.zeros((side, side, self.planes), np.uint8)

    def to_tensor(self, pictures: Sequence[Pixels], device: torch.device, layout: torch.memory_format) -> Tensor:
        """Pictures of one size, (H, W, C), as (N, C, H, W) in [-1, 1], as one-hot planes, or identities as they are."""
        if self.indexed:
            values = np.stack(pictures)
            if self.channels == 1:
                return torch.from_numpy(values.astype(np.float32)).to(device).permute(0, 3, 1, 2)
            levels = torch.from_numpy(values).to(device).permute(0, 3, 1, 2)
            return (levels == torch.arange(self.channels, device=device).view(1, -1, 1, 1)).float()
        shades = [
            torch.from_numpy(np.array(picture)).to(device).float().div_(white_of(picture.dtype) / 2).sub_(1)
            for picture in pictures
        ]
        return torch.stack(shades).permute(0, 3, 1, 2).contiguous(memory_format=layout)


def inputs_of(data: DataSpec, direction: Direction, reading: Reading) -> tuple[Input, ...]:
    """The inputs of a direction of a model trained on ``data``; a range that the user gives is the first one's."""
    found = []
    for place, name in enumerate(direction.input_names):
        own = data.ranges.get(name)
        range_ = own if place else reading.range or own
        indexed = name in data.indexed
        found.append(Input(name, data.channels[name], indexed, replace(reading, range=range_, hidden=data.hidden)))
    return tuple(found)


class Picture(Protocol):
    """What one result is made of, whole in memory or not: it is padded, and parts of it are read."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""

    @property
    def kind(self) -> np.dtype[Any]:
        """The type of the photo's pixels."""

    def __getitem__(self, place: tuple[slice, slice]) -> Stack:
        """Rows and columns of it, in memory."""

    def padded(self, multiple: int) -> Picture:
        """Both sides grown to a multiple, as ``tiling.padded`` does it."""

    def wrapped(self, multiple: int, around: int) -> Picture:
        """The same, and ``around`` more on all four sides, as ``tiling.wrapped`` does it."""

    def varied(self) -> bool:
        """Whether it ``varies``, as far as it was read."""


@dataclass(frozen=True)
class Stack:
    """The pictures (H, W, C) of one result, of one height and width, which are padded and cut as one.

    The first is the photo: it says in which numbers the result is stored.
    """

    parts: tuple[Pixels, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.parts[0].shape[:2]
        return height, width

    @property
    def kind(self) -> np.dtype[Any]:
        """The type of the photo's pixels."""
        return self.parts[0].dtype

    def __getitem__(self, place: tuple[slice, slice]) -> Stack:
        return Stack(tuple(part[place] for part in self.parts))

    def padded(self, multiple: int) -> Stack:
        """Both sides grown to a multiple, as ``tiling.padded`` does it."""
        return Stack(tuple(padded(part, multiple) for part in self.parts))

    def wrapped(self, multiple: int, around: int) -> Stack:
        """The same, and ``around`` more on all four sides, as ``tiling.wrapped`` does it."""
        return Stack(tuple(wrapped(part, multiple, around) for part in self.parts))

    def varied(self) -> bool:
        """Whether one of them ``varies``."""
        return any(varies(extent(part)) for part in self.parts)


def crops(picture: Picture, side: int, multiple: int) -> list[Stack]:
    """Small crops evenly spread over a picture, together no more than a square of ``side``."""
    height, width = picture.shape
    crop = min(up_to(CROP, multiple), height, width)
    most = max(1, side * side // crop**2)
    down = max(1, min(-(-height // crop), round(math.sqrt(most * height / width))))
    across = max(1, min(-(-width // crop), most // down))
    tops, lefts = (
        [int((length - crop) * i / max(1, count - 1)) // multiple * multiple for i in range(count)]
        for length, count in ((height, down), (width, across))
    )
    return [picture[top : top + crop, left : left + crop] for top in tops for left in lefts]
