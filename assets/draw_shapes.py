"""Draws shapes with captions, for models that make pictures from text.

Each picture shows one shape above another, each of a colour and a shape of its own, on a plain ground; a .txt beside it
says so: "a red circle above a blue square". Places, sizes and shades vary, and the caption does not mention them.
"""

from __future__ import annotations

import argparse
import colorsys
import math
import random
from pathlib import Path

from PIL import Image, ImageDraw

HUES = {"red": 0.0, "yellow": 0.15, "green": 0.35, "blue": 0.6, "purple": 0.78}
SHAPES = ("circle", "square", "triangle", "star")
OVERSAMPLING = 4


def corners(shape: str, x: float, y: float, radius: float) -> list[tuple[float, float]]:
    """Of a shape around (x, y), in its own units."""
    match shape:
        case "square":
            angles = [(45 + 90 * turn, 1.1) for turn in range(4)]
        case "triangle":
            angles = [(-90 + 120 * turn, 1.2) for turn in range(3)]
        case _:  # a star
            angles = [(-90 + 36 * turn, 1.2 if turn % 2 == 0 else 0.5) for turn in range(10)]
    return [
        (x + radius * far * math.cos(math.radians(angle)), y + radius * far * math.sin(math.radians(angle)))
        for angle, far in angles
    ]


def draw(dice: random.Random, size: int) -> tuple[Image.Image, str]:
    """One picture and its caption."""
    side = size * OVERSAMPLING
    grey = dice.randrange(225, 246)
    image = Image.new("RGB", (side, side), (grey, grey, grey))
    pen = ImageDraw.Draw(image)
    phrases = []
    for place in (0.27, 0.73):
        colour, shape = dice.choice(list(HUES)), dice.choice(SHAPES)
        phrases.append(f"a {colour} {shape}")
        shade = colorsys.hsv_to_rgb(HUES[colour], dice.uniform(0.75, 1.0), dice.uniform(0.65, 0.95))
        fill = tuple(round(255 * value) for value in shade)
        x, y = side * (0.5 + dice.uniform(-0.18, 0.18)), side * (place + dice.uniform(-0.03, 0.03))
        radius = side * dice.uniform(0.15, 0.19)
        if shape == "circle":
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
        else:
            pen.polygon(corners(shape, x, y, radius), fill=fill)
    return image.resize((size, size), Image.Resampling.BOX), " above ".join(phrases)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for pictures and captions")
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    dice = random.Random(given.seed)
    given.out.mkdir(parents=True, exist_ok=True)
    for number in range(given.count):
        image, caption = draw(dice, given.size)
        image.save(given.out / f"{number:05d}.png")
        (given.out / f"{number:05d}.txt").write_text(f"{caption}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
