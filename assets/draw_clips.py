"""Draws clips of moving shapes for video-pix2pix: outlines as inputs, filled shapes as targets.

The colours of a clip are drawn by lot and do not show in its outlines: what is to fill them alike from frame to frame
must look at what it drew before.
"""

from __future__ import annotations

import argparse
import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

OVERSAMPLING = 4
"""Drawn pixels per final pixel, along each side."""


@dataclass(frozen=True)
class Shape:
    """A polygon that turns and moves on a straight line, thrown back by the borders. Lengths are shares of the side."""

    corners: int
    radius: float
    place: tuple[float, float]
    speed: tuple[float, float]
    angle: float
    turn: float
    colour: tuple[int, int, int]

    def at(self, time: int) -> list[tuple[float, float]]:
        """Its corners in frame ``time``, from 0 to 1."""
        x, y = (
            self.radius + _thrown_back(start - self.radius + time * step, 1 - 2 * self.radius)
            for start, step in zip(self.place, self.speed, strict=True)
        )
        angles = (self.angle + time * self.turn + 2 * math.pi * k / self.corners for k in range(self.corners))
        return [(x + self.radius * math.cos(angle), y + self.radius * math.sin(angle)) for angle in angles]


def _thrown_back(way: float, room: float) -> float:
    way %= 2 * room
    return way if way <= room else 2 * room - way


def shapes_of(rng: np.random.Generator, hue: float) -> list[Shape]:
    """Two or three shapes whose colours are near each other."""
    found = []
    for _ in range(int(rng.integers(2, 4))):
        radius = float(rng.uniform(0.12, 0.2))
        place = (float(rng.uniform(radius, 1 - radius)), float(rng.uniform(radius, 1 - radius)))
        way, length = rng.uniform(0, 2 * math.pi), rng.uniform(0.01, 0.04)
        red, green, blue = colorsys.hsv_to_rgb((hue + rng.uniform(-0.05, 0.05)) % 1, 0.8, float(rng.uniform(0.7, 1)))
        found.append(
            Shape(
                corners=int(rng.choice([3, 4, 5, 24])),
                radius=radius,
                place=place,
                speed=(length * math.cos(way), length * math.sin(way)),
                angle=float(rng.uniform(0, 2 * math.pi)),
                turn=float(rng.uniform(-0.15, 0.15)),
                colour=(round(255 * red), round(255 * green), round(255 * blue)),
            )
        )
    return found


def draw(shapes: Sequence[Shape], time: int, size: int) -> tuple[Image.Image, Image.Image]:
    """Outlines and filled shapes of one frame, ``size`` pixels square."""
    large = size * OVERSAMPLING
    outlines, filled = Image.new("RGB", (large, large), "white"), Image.new("RGB", (large, large), (32, 32, 40))
    for shape in shapes:
        corners = [(large * x, large * y) for x, y in shape.at(time)]
        ImageDraw.Draw(outlines).polygon(corners, fill="white", outline="black", width=OVERSAMPLING)
        ImageDraw.Draw(filled).polygon(corners, fill=shape.colour)
    first, second = (image.resize((size, size), Image.Resampling.BOX) for image in (outlines, filled))
    return first, second


def draw_clips(out: Path, *, clips: int, frames: int, size: int, seed: int) -> None:
    """Write ``a/clip-000/0.png`` and so on, and the targets of the same names below ``b``."""
    for clip in range(clips):
        rng = np.random.default_rng([seed, clip])
        shapes = shapes_of(rng, float(rng.uniform()))
        for time in range(frames):
            for domain, picture in zip("ab", draw(shapes, time, size), strict=True):
                folder = out / domain / f"clip-{clip:03}"
                folder.mkdir(parents=True, exist_ok=True)
                picture.save(folder / f"{time}.png")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write the clips to")
    parser.add_argument("--clips", type=int, default=60, help="clips (default 60)")
    parser.add_argument("--frames", type=int, default=12, help="frames of each clip (default 12)")
    parser.add_argument("--size", type=int, default=64, help="side in pixels (default 64)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other clips (default 0)")
    options = parser.parse_args(arguments)
    draw_clips(options.out, clips=options.clips, frames=options.frames, size=options.size, seed=options.seed)


if __name__ == "__main__":
    main()
