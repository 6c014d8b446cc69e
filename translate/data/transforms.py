"""Geometry of training images: one way to resize, and crops, flips and turns drawn once per sample."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import numpy as np
import torch
from annotated_types import Ge
from PIL import Image
from torch import Tensor

from translate.data.decode import Decoded, Pixels, open_file, pixels_of
from translate.data.values import white_of
from translate.errors import UsageError
from translate.reading import STANDARD, Reading

Resize = Literal["resize", "scale", "none"]
"""resize: squash to a square; scale: the shorter side, keeping the aspect; none: pixels as they are."""

ENLARGED = 286 / 256
"""How much larger than the crop the papers load their images (Isola et al., 2017, appendix 6.2): 286 pixels for 256."""

BeforeCrop: TypeAlias = Annotated[
    Resize, "resize: squash to a square of --load-size; scale: the shorter side to it; none: crop as it is"
]
EnlargedSide: TypeAlias = Annotated[int | None, "side in pixels before the crop [--size x 286/256]", Ge(4)]
OwnSide: TypeAlias = Annotated[int | None, "side in pixels before the crop [--size]", Ge(4)]
"""Fields of a source whose pictures are resized, then cut; ``side_before_crop`` takes what the latter two hold."""


def side_before_crop(size: int, load_size: int | None, enlarged: float = ENLARGED) -> int:
    """The side that images are brought to for a crop of ``size``: ``load_size``, or ``enlarged`` times as many.

    Raises ``UsageError`` where the crop would not fit.
    """
    side = round(size * enlarged) if load_size is None else load_size
    if side < size:
        raise UsageError(f"--load-size {side} is smaller than --size {size}")
    return side


Box = tuple[float, float, float, float]
"""Left, top, right and bottom of a part of a picture, in its pixels."""


def resize(image: Pixels, width: int, height: int, box: Box | None = None) -> Pixels:
    """Pillow's bicubic (a = -0.5), antialiased when it shrinks: the pixel definition of every path in gantk.

    ``box``: what becomes the result, where not all does; pixels around it count as they would in the whole.
    """
    if box is None and image.shape[:2] == (height, width):
        return image
    channels = image.shape[2]
    if channels not in (1, 3) or (image.dtype != np.uint8 and channels > 1):
        # Each plane by itself: Pillow would take a fourth for transparency, of which colours depend.
        return np.dstack([resize(image[:, :, plane : plane + 1], width, height, box) for plane in range(channels)])
    plane = np.ascontiguousarray(image[:, :, 0] if channels == 1 else image)
    if image.dtype == np.uint8:
        return pixels_of(Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC, box))
    smooth: Pixels = np.asarray(
        Image.fromarray(plane.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC, box)
    )
    smooth = np.clip(smooth, 0, white_of(image.dtype))
    return (smooth if image.dtype.kind == "f" else np.rint(smooth)).astype(image.dtype)[:, :, None]


def nearest(image: Pixels, width: int, height: int) -> Pixels:
    """The pixels (H, W, C) nearest to those of a picture of another size, by Pillow's rule."""
    own_height, own_width = image.shape[:2]
    rows, columns = (
        ((np.arange(length) + 0.5) * (own / length)).astype(np.intp)
        for length, own in ((height, own_height), (width, own_width))
    )
    picked: Pixels = image[rows[:, None], columns]
    return picked


@dataclass(frozen=True)
class Fit:
    """How a picture is brought to the size that crops are taken from.

    ``side``: of the square, or the shorter side. ``least``: no side is smaller than this (the crop); with ``none``
    smaller pictures are enlarged just so far.
    """

    mode: Resize
    side: int
    least: int

    def size_of(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) after the fit."""
        if self.mode == "resize":
            return max(self.side, self.least), max(self.side, self.least)
        shorter = min(width, height)
        target = max(self.side if self.mode == "scale" else shorter, self.least)
        if target == shorter:
            return width, height
        return max(target, round(width * target / shorter)), max(target, round(height * target / shorter))

    def __call__(self, image: Pixels, *, labels: bool = False) -> Pixels:
        """The picture brought to its size; ``labels``: by taking the nearest pixels, as labels have no mean."""
        height, width = image.shape[:2]
        return (nearest if labels else resize)(image, *self.size_of(width, height))


def fitted(decoded: Decoded, fit: Fit, reading: Reading) -> Pixels:
    """A decoded picture, brought to its size; of a label map with a palette, the nearest pixels."""
    pixels = decoded.pixels
    height, width = pixels.shape[:2]
    if decoded.labels and fit.size_of(width, height) != (width, height) and reading.remarks is not None:
        reading.remarks.add(["a palette of few colours, as label maps have: resized by the nearest pixel"])
    return fit(pixels, labels=decoded.labels)


@dataclass(frozen=True)
class Reader:
    """Opens a file with so many channels and fits it; ``key`` names the result for the cache on disk."""

    channels: int
    fit: Fit
    reading: Reading = STANDARD

    @property
    def key(self) -> str:
        """Changes when the pixels would."""
        return f"{self.channels} {self.reading.key} {self.fit.mode} {self.fit.side} {self.fit.least}"

    def __call__(self, path: Path) -> Pixels:
        with open_file(path, self.reading) as opened:
            return fitted(opened.decode(self.channels), self.fit, self.reading)


@dataclass(frozen=True)
class Geometry:
    """One draw of crop, flip and turn, to be applied to every picture of a sample."""

    top: int
    left: int
    height: int
    width: int
    flip: bool = False
    turns: int = 0

    @classmethod
    def draw(
        cls, rng: np.random.Generator, image: Pixels, size: int, *, flip: bool = False, turn: bool = False
    ) -> Geometry:
        """A square crop of ``size`` anywhere in ``image``; mirrored half of the time; turned by quarters.

        The same numbers are drawn whatever the answers are, so that a switch does not change the other choices.
        """
        height, width = image.shape[:2]
        if height < size or width < size:
            raise ValueError(f"a crop of {size} does not fit into {width}x{height}")
        down, right, mirror, quarters = rng.random(4)
        return cls(
            top=int(down * (height - size + 1)),
            left=int(right * (width - size + 1)),
            height=size,
            width=size,
            flip=flip and bool(mirror < 0.5),
            turns=int(quarters * 4) if turn else 0,
        )

    def enlarged(self, scale: int) -> Geometry:
        """The same part of an image of ``scale`` pixels for each one of the image drawn for."""
        top, left, height, width = (side * scale for side in (self.top, self.left, self.height, self.width))
        return replace(self, top=top, left=left, height=height, width=width)

    def __call__(self, image: Pixels) -> Pixels:
        """The crop, a view."""
        crop = image[self.top : self.top + self.height, self.left : self.left + self.width]
        if self.flip:
            crop = crop[:, ::-1]
        return np.rot90(crop, self.turns) if self.turns else crop


def to_tensor(image: Pixels) -> Tensor:
    """Pixels (H, W, C) to a tensor (C, H, W) of its own memory: of the same type, or from float to float in [-1, 1]."""
    planes = np.array(image.transpose(2, 0, 1), order="C")
    return torch.from_numpy(planes * 2 - 1 if planes.dtype.kind == "f" else planes)
