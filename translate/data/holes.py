"""Holes in pictures: rectangles, strokes as of a brush, and sides that are missing (Yu et al., 2019, algorithm 1)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Hole = NDArray[np.bool_]

LEAST_WIDTH, LARGEST_WIDTH = 12 / 256, 40 / 256
"""Of a brush, as shares of the height."""


def rectangle(rng: np.random.Generator, height: int, width: int) -> Hole:
    """Up to half of the sides long and at least three eighths, anywhere: the authors' 128 of 256 pixels."""
    down, across = (side // 2 for side in (height, width))
    top, left = int(rng.integers(height - down + 1)), int(rng.integers(width - across + 1))
    inset_down, inset_across = int(rng.integers(height // 16 + 1)), int(rng.integers(width // 16 + 1))
    hole = np.zeros((height, width), np.bool_)
    hole[top + inset_down : top + down - inset_down, left + inset_across : left + across - inset_across] = True
    return hole


def strokes(rng: np.random.Generator, height: int, width: int) -> Hole:
    """One to three brush strokes that turn back and forth, as the authors' code draws them."""
    canvas = Image.new("1", (width, height))
    draw = ImageDraw.Draw(canvas)
    radius = math.hypot(height, width) / 8
    for _ in range(int(rng.integers(1, 4))):
        least = 2 * math.pi / 5 - rng.uniform(0, 2 * math.pi / 15)
        most = 2 * math.pi / 5 + rng.uniform(0, 2 * math.pi / 15)
        places = [(float(rng.integers(width)), float(rng.integers(height)))]
        for number in range(int(rng.integers(4, 12))):
            angle = rng.uniform(least, most) * (-1 if number % 2 == 0 else 1)
            length = np.clip(rng.normal(radius, radius / 2), 0, 2 * radius)
            x, y = places[-1]
            places.append(
                (
                    float(np.clip(x + length * math.cos(angle), 0, width)),
                    float(np.clip(y + length * math.sin(angle), 0, height)),
                )
            )
        brush = max(1, int(height * rng.uniform(LEAST_WIDTH, LARGEST_WIDTH)))
        draw.line(places, fill=1, width=brush)
        for x, y in places:
            draw.ellipse((x - brush // 2, y - brush // 2, x + brush // 2, y + brush // 2), fill=1)
    hole = np.asarray(canvas)
    down, across = rng.random(2) < 0.5
    return np.ascontiguousarray(hole[:: -1 if down else 1, :: -1 if across else 1])


def border(rng: np.random.Generator, height: int, width: int) -> Hole:
    """An eighth to a quarter of the picture at one of its sides."""
    hole = np.zeros((height, width), np.bool_)
    turns = int(rng.integers(4))
    turned = np.rot90(hole, turns)
    turned[: max(1, int(len(turned) * rng.uniform(1 / 8, 1 / 4)))] = True
    return hole


def draw_holes(
    rng: np.random.Generator, count: int, height: int, width: int, shares: tuple[float, float, float]
) -> NDArray[np.bool_]:
    """Holes for so many pictures, (N, 1, H, W), True where there is nothing.

    ``shares``: of pictures that have a rectangle, strokes and a missing side; one without any of them has strokes.
    """
    found = np.zeros((count, 1, height, width), np.bool_)
    for hole in found:
        kinds = [kind for kind, share in zip((rectangle, strokes, border), shares, strict=True) if rng.random() < share]
        for kind in kinds or [strokes]:
            hole[0] |= kind(rng, height, width)
    return found
