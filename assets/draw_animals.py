"""Draws two picture sets for the demo, plain and striped animals, that share everything but the coat.

No picture has a partner in the other set: an animal's build, pose, place and ground are drawn afresh each time, so a
translator has to find the animal and paint a new coat on it; copying an example is no solution. All coats of a kind are
alike, since what one coat leaves open (another colour, another place of the stripes) a CycleGAN hides as faint patterns
in its translations, in order to find its way back (Chu et al., 2017). Coordinates of an
animal are in units of its body's length, x towards its nose and y up from its hooves.
"""

from __future__ import annotations

import argparse
import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Plane = NDArray[Any]
"""One value per pixel, (H, W)."""
Colour = tuple[float, float, float]
"""Red, green, blue from 0 to 255."""
Picture = NDArray[Any]
"""Colours from 0 to 255, (H, W, 3)."""
Point = tuple[float, float]

KINDS = ("plain", "striped")
OVERSAMPLING = 3
"""Drawn pixels per final pixel, along each side."""


@dataclass(frozen=True)
class Land:
    """Colours of a scene: those of sky, hills and ground run from far to near."""

    sky: tuple[Colour, Colour]
    hills: tuple[Colour, Colour]
    ground: tuple[Colour, Colour]
    tufts: tuple[Colour, ...]
    trees: tuple[Colour, ...] = ()
    water: Colour | None = None
    light: float = 1.0


LANDS = (
    Land(  # spring meadow
        sky=((112, 186, 236), (214, 238, 246)),
        hills=((146, 194, 150), (112, 170, 108)),
        ground=((156, 204, 96), (104, 162, 66)),
        tufts=((84, 140, 56), (176, 216, 110), (250, 220, 90), (244, 246, 240), (232, 130, 150)),
        trees=((74, 134, 78), (92, 150, 70)),
    ),
    Land(  # savanna
        sky=((250, 196, 120), (255, 238, 196)),
        hills=((224, 186, 122), (206, 164, 92)),
        ground=((226, 192, 108), (190, 148, 72)),
        tufts=((166, 128, 56), (238, 208, 130), (150, 140, 66)),
        trees=((128, 134, 66), (108, 118, 62)),
    ),
    Land(  # snow
        sky=((152, 190, 228), (228, 238, 248)),
        hills=((196, 212, 232), (172, 192, 218)),
        ground=((244, 248, 252), (212, 226, 242)),
        tufts=((190, 208, 230), (255, 255, 255), (164, 178, 190)),
        trees=((70, 112, 104), (88, 128, 122)),
    ),
    Land(  # desert
        sky=((124, 196, 232), (248, 234, 206)),
        hills=((232, 180, 124), (218, 156, 98)),
        ground=((240, 204, 142), (218, 168, 104)),
        tufts=((200, 148, 88), (250, 222, 168), (124, 146, 92)),
    ),
    Land(  # dusk
        sky=((150, 146, 210), (250, 200, 176)),
        hills=((176, 142, 178), (150, 120, 164)),
        ground=((166, 168, 130), (122, 134, 110)),
        tufts=((100, 116, 96), (190, 184, 140), (220, 170, 180)),
        trees=((110, 106, 140), (120, 110, 144)),
        light=0.92,
    ),
    Land(  # autumn
        sky=((176, 208, 230), (244, 236, 218)),
        hills=((214, 148, 86), (184, 110, 66)),
        ground=((206, 172, 88), (160, 124, 62)),
        tufts=((214, 106, 48), (236, 178, 66), (140, 104, 52)),
        trees=((222, 122, 50), (196, 82, 50), (232, 176, 70)),
    ),
    Land(  # seaside
        sky=((128, 204, 240), (232, 246, 250)),
        hills=((142, 190, 190), (120, 176, 170)),
        ground=((246, 226, 176), (228, 198, 140)),
        tufts=((206, 174, 118), (252, 244, 220), (120, 160, 84)),
        water=(70, 164, 196),
    ),
)

CHESTNUT: Colour = (166, 100, 56)
DARK_BROWN: Colour = (70, 42, 30)
WHITE: Colour = (246, 240, 228)
BLACK: Colour = (38, 32, 38)
HOOF: Colour = (58, 48, 48)


def smoothstep(low: float, high: float, value: Plane) -> Plane:
    """0 below ``low``, 1 above ``high`` (or the other way round), without a kink between them."""
    t = np.clip((value - low) / (high - low), 0, 1)
    step: Plane = t * t * (3 - 2 * t)
    return step


def tinted(rng: np.random.Generator, colour: Colour, value: float = 0.06) -> Colour:
    """The colour with a little of its hue, saturation and brightness changed."""
    h, s, v = colorsys.rgb_to_hsv(*(channel / 255 for channel in colour))
    h = (h + rng.uniform(-0.015, 0.015)) % 1
    s = min(1.0, s * rng.uniform(0.9, 1.1))
    r, g, b = colorsys.hsv_to_rgb(h, s, min(1.0, v * (1 + rng.uniform(-value, value))))
    return r * 255, g * 255, b * 255


def dimmed(colour: Colour, light: float) -> Colour:
    """The colour under less (or more) light."""
    return colour[0] * light, colour[1] * light, colour[2] * light


def gradient(start: Colour, end: Colour, share: Plane) -> Picture:
    """A picture that runs from one colour, where ``share`` is 0, to another."""
    first, last = np.asarray(start, np.float32), np.asarray(end, np.float32)
    picture: Picture = first + (last - first) * np.clip(share, 0, 1)[..., None]
    return picture


class Canvas:
    """A picture in the making, or a window of it; x and y run from 0 to 1 over the whole, to the right and down."""

    def __init__(self, x: Plane, y: Plane, pixels: Picture, grain: float) -> None:
        self.x, self.y, self.pixels, self.grain = x, y, pixels, grain

    @staticmethod
    def blank(size: int) -> Canvas:
        """An empty one for a final picture of ``size`` pixels square."""
        side = size * OVERSAMPLING
        axis = (np.arange(side, dtype=np.float32) + 0.5) / side
        x, y = np.meshgrid(axis, axis)
        return Canvas(x, y, np.zeros((side, side, 3), np.float32), 1 / size)

    def window(self, x: float, y: float, reach: float) -> Canvas:
        """The square part around a point; what is painted on it is painted on the whole, only faster."""
        side = len(self.pixels)
        top, bottom = (min(side, max(0, round(edge * side))) for edge in (y - reach, y + reach))
        left, right = (min(side, max(0, round(edge * side))) for edge in (x - reach, x + reach))
        part = np.s_[top:bottom, left:right]
        return Canvas(self.x[part], self.y[part], self.pixels[part], self.grain)

    def paint(self, colour: Colour | Picture, cover: Plane) -> None:
        """Lay a colour, or a picture, over what is there; ``cover`` is its opacity."""
        self.pixels += (np.asarray(colour, np.float32) - self.pixels) * cover[..., None]

    def inside(self, distance: Plane, softness: float = 1.0) -> Plane:
        """Opacity of a shape from its signed distance, with an edge ``softness`` final pixels wide."""
        cover: Plane = np.clip(0.5 - distance / (self.grain * softness), 0, 1)
        return cover

    def noise(self, rng: np.random.Generator, across: int, down: int) -> Plane:
        """Smooth noise around 0, about -1 to 1, with so many cells."""
        cells = Image.fromarray(rng.uniform(-1, 1, (down, across)).astype(np.float32))
        return np.asarray(cells.resize(self.x.shape[::-1], Image.Resampling.BICUBIC))

    def finished(self) -> Image.Image:
        """The picture at its final size."""
        whole = Image.fromarray(np.clip(self.pixels + 0.5, 0, 255).astype(np.uint8))
        size = len(self.pixels) // OVERSAMPLING
        return whole.resize((size, size), Image.Resampling.LANCZOS)


def paint_scene(canvas: Canvas, rng: np.random.Generator) -> float:
    """Paint sky, hills and ground of a random land. Returns its light, 1 by day."""
    land = LANDS[rng.integers(len(LANDS))]
    x, y = canvas.x, canvas.y
    horizon = rng.uniform(0.42, 0.6)
    canvas.paint(gradient(tinted(rng, land.sky[0]), tinted(rng, land.sky[1]), y / horizon), np.ones_like(x))
    if rng.random() < 0.5:
        paint_sun(canvas, rng)
    for _ in range(rng.integers(0, 4)):
        paint_cloud(canvas, rng)

    for nearness, colour in enumerate(land.hills):
        crest = horizon - rng.uniform(0.02, 0.16) * (1 - nearness * 0.5) + np.zeros_like(x)
        for waves in (1.3, 2.9, 5.1):
            crest += rng.uniform(0.01, 0.05) / waves * np.sin(x * waves * 2 * np.pi + rng.uniform(0, 2 * np.pi))
        canvas.paint(tinted(rng, colour), canvas.inside(crest - y))
    if land.water is not None:
        canvas.paint(tinted(rng, land.water), canvas.inside(horizon - 0.05 - y))
    for _ in range(rng.integers(0, 5) if land.trees else 0):
        paint_tree(canvas, rng, land.trees[rng.integers(len(land.trees))], horizon)

    edge = horizon + rng.uniform(0, 0.015) * np.sin(x * rng.uniform(3, 9) + rng.uniform(0, 2 * np.pi))
    texture = 7 * canvas.noise(rng, 5, 9) + 5 * canvas.noise(rng, 14, 30)
    ground = gradient(tinted(rng, land.ground[0]), tinted(rng, land.ground[1]), (y - horizon) / (1 - horizon))
    canvas.paint(ground + texture[..., None], canvas.inside(edge - y))
    for _ in range(rng.integers(8, 26)):
        left, place = rng.uniform(0, 1), rng.uniform(horizon + 0.04, 1)
        size = 0.006 + 0.022 * (place - horizon)
        near = canvas.window(left, place, 4 * size)
        blob = np.hypot((near.x - left) / rng.uniform(1, 2.2), near.y - place) - size
        near.paint(tinted(rng, land.tufts[rng.integers(len(land.tufts))]), 0.85 * near.inside(blob))
    return land.light


def paint_sun(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint a sun, or a moon, and its glow."""
    away = np.hypot(canvas.x - rng.uniform(0.1, 0.9), canvas.y - rng.uniform(0.08, 0.3))
    size = rng.uniform(0.04, 0.075)
    canvas.paint((255, 246, 214), 0.5 * np.exp(-((away / (2.4 * size)) ** 2)))
    canvas.paint((255, 250, 228), canvas.inside(away - size))


def paint_cloud(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint a cloud with a flat foot."""
    left, top, size = rng.uniform(0, 1), rng.uniform(0.05, 0.32), rng.uniform(0.03, 0.06)
    near = canvas.window(left, top, 4 * size)
    puffs = [
        np.hypot((near.x - left - shift * size) / 1.5, near.y - top - abs(shift) * size * 0.25)
        - size * rng.uniform(0.6, 1)
        for shift in (-1.6, -0.5, 0.6, 1.7)
    ]
    near.paint(
        (255, 253, 250), 0.8 * near.inside(np.maximum(np.minimum.reduce(puffs), near.y - top - size * 0.45), 1.5)
    )


def paint_tree(canvas: Canvas, rng: np.random.Generator, colour: Colour, horizon: float) -> None:
    """Paint one tree, round or pointed, that stands on the horizon."""
    left, height = rng.uniform(0, 1), rng.uniform(0.07, 0.17)
    near = canvas.window(left, horizon, 1.3 * height)
    x, up = abs(near.x - left), horizon + 0.01 - near.y
    near.paint((104, 78, 60), near.inside(np.maximum(x - 0.009, abs(up - height * 0.3) - height * 0.32)))
    if rng.random() < 0.5:
        crown = np.hypot(x, (up - height * 0.72) * 1.1) - height * 0.42
    else:
        crown = np.maximum((2.4 * x + up - height * 1.1) / 2.6, height * 0.2 - up)
    near.paint(tinted(rng, colour), near.inside(crown))


@dataclass(frozen=True)
class Limb:
    """A rounded, tapering piece of an animal: from one point and radius to another."""

    start: Point
    end: Point
    radii: tuple[float, float]

    def measure(self, x: Plane, y: Plane) -> tuple[Plane, Plane, Plane]:
        """At each pixel: signed distance, length along the axis (beyond its ends too), height over it in radii."""
        ax, ay = self.end[0] - self.start[0], self.end[1] - self.start[1]
        length = math.hypot(ax, ay)
        px, py = x - self.start[0], y - self.start[1]
        along = (px * ax + py * ay) / length
        share = np.clip(along / length, 0, 1)
        radius = self.radii[0] + (self.radii[1] - self.radii[0]) * share
        rise = py - share * ay
        return np.hypot(px - share * ax, rise) - radius, along, rise / radius


def chain(points: Sequence[Point], radii: Sequence[float]) -> list[Limb]:
    """Limbs from joint to joint."""
    return [Limb(points[i], points[i + 1], (radii[i], radii[i + 1])) for i in range(len(points) - 1)]


def union(limbs: Sequence[Limb], x: Plane, y: Plane) -> Plane:
    """Signed distance to the nearest limb."""
    distance: Plane = np.minimum.reduce([limb.measure(x, y)[0] for limb in limbs])
    return distance


@dataclass(frozen=True)
class Animal:
    """A body in its pose, apart from its coat. ``legs`` are two near and two far ones, in this order."""

    trunk: list[Limb]
    legs: list[list[Limb]]
    tail: list[Limb]
    mane: Limb
    ears: tuple[Limb, Limb]
    eye: Point
    nose: Point

    @staticmethod
    def born(rng: np.random.Generator) -> Animal:
        """A random one: looking up, ahead, or grazing."""
        leg, girth = rng.uniform(0.38, 0.47), rng.uniform(0.155, 0.185)
        back = leg + girth * 0.95
        hip, shoulder = (-0.3, back), (0.28, back + 0.01)
        lean = float(
            rng.choice([rng.uniform(0.75, 1.25), rng.uniform(0.2, 0.7), rng.uniform(-0.75, -0.5)], p=[0.6, 0.26, 0.14])
        )
        neck = rng.uniform(0.4, 0.52)
        poll = (shoulder[0] + 0.04 + neck * 0.8 * math.cos(lean), shoulder[1] + 0.03 + neck * math.sin(lean))
        nod = lean - 1.45 if lean > 0 else -1.25
        nose = (poll[0] + 0.24 * math.cos(nod), poll[1] + 0.24 * math.sin(nod))

        stride, swing = rng.uniform(0, 0.14), rng.uniform(0, 2 * np.pi)
        legs = []
        for hold, turn in ((-0.31, 0.0), (0.29, 3.5), (-0.26, 2.6), (0.25, 6.0)):
            step = stride * math.sin(swing + turn) + rng.uniform(-0.02, 0.02)
            knee, foot = (hold + step * 0.45 + 0.012, leg * 0.54), (hold + step, 0.035)
            legs.append(chain([(hold, back - 0.06), knee, foot], [0.086, 0.044, 0.037]))

        droop = rng.uniform(-0.05, 0.22)
        tail = [(-0.45, back + 0.08), (-0.54 - droop * 0.5, back - 0.02), (-0.55 - droop, back - 0.28)]
        aside, up = -(poll[1] - shoulder[1]), poll[0] - shoulder[0]
        reach = 0.07 / math.hypot(aside, up)
        mane = Limb(
            (shoulder[0] - 0.06 + aside * reach, shoulder[1] + 0.07 + up * reach),
            (poll[0] + aside * reach, poll[1] + up * reach),
            (0.05, 0.062),
        )
        near, far = (
            Limb((poll[0] - 0.03 + x, poll[1] + 0.05), (poll[0] - 0.05 + x, poll[1] + 0.18), (0.035, 0.014))
            for x in (-0.015, 0.045)
        )
        return Animal(
            trunk=[
                Limb(hip, shoulder, (girth + 0.008, girth - 0.005)),
                Limb((-0.12, back - 0.03), (0.12, back - 0.025), (girth, girth)),
                Limb((shoulder[0] + 0.02, shoulder[1] + 0.01), poll, (girth * 0.78, 0.086)),
                Limb(poll, nose, (0.092, 0.06)),
            ],
            legs=legs,
            tail=chain(tail, [0.033, 0.028, 0.05]),
            mane=mane,
            ears=(near, far),
            eye=(poll[0] + 0.34 * (nose[0] - poll[0]) + 0.015, poll[1] + 0.34 * (nose[1] - poll[1]) + 0.02),
            nose=nose,
        )


@dataclass(frozen=True)
class Coat:
    """Colours of an animal, under the light of its land, and its stripes where it has any."""

    base: Colour
    hair: Colour
    muzzle: Colour
    hoof: Colour
    stripes: float = 0.0
    """Stripes per body length; 0: none."""

    @staticmethod
    def drawn(kind: str, light: float, rng: np.random.Generator) -> Coat:
        """A random one of its kind."""
        if kind == "striped":
            base, hair, muzzle = tinted(rng, WHITE, value=0.03), tinted(rng, BLACK), (84.0, 74.0, 76.0)
            stripes = 6.2
        else:
            base, hair = tinted(rng, CHESTNUT, value=0.03), tinted(rng, DARK_BROWN, value=0.03)
            muzzle, stripes = dimmed(base, 0.62), 0.0
        base, hair, muzzle, hoof = (dimmed(colour, light) for colour in (base, hair, muzzle, HOOF))
        return Coat(base, hair, muzzle, hoof, stripes)

    def over(self, limbs: Sequence[Limb], x: Plane, y: Plane, light: float = 1.0) -> tuple[Picture, Plane]:
        """The coat's picture and the signed distance of the limbs' common, rounded outline."""
        measures = [limb.measure(x, y) for limb in limbs]
        distances = np.stack([distance for distance, _, _ in measures])
        nearest = distances.min(0)
        weights = np.exp((nearest - distances) / 0.03)
        total = weights.sum(0)
        weights /= total
        outline = nearest - 0.03 * np.log(total)
        height = (weights * np.stack([up for _, _, up in measures])).sum(0)
        colour = np.broadcast_to(np.asarray(self.base, np.float32), (*x.shape, 3))
        if self.stripes:
            bend = 0.35 * smoothstep(-0.1, -0.45, x) * (y - limbs[0].start[1])  # they slant over the haunches
            waves = [
                np.sin((along + bend) * self.stripes * (1.25 if limb.radii[0] < 0.1 else 1) * 2 * np.pi)
                for limb, (_, along, _) in zip(limbs, measures, strict=True)
            ]
            belly = 0.9 * smoothstep(-0.7, -1.1, height)
            dark = smoothstep(-0.1, 0.2, (weights * np.stack(waves)).sum(0) - belly)
            colour = colour + (np.asarray(self.hair, np.float32) - colour) * dark[..., None]
        rim = 1 - 0.28 * smoothstep(-0.035, 0.0, outline)
        return colour * ((0.88 + 0.16 * np.clip(height, -1, 1)) * rim * light)[..., None], outline


def paint_animal(canvas: Canvas, rng: np.random.Generator, kind: str, light: float) -> None:
    """Paint one animal and its shadow."""
    animal = Animal.born(rng)
    size = rng.uniform(0.5, 0.6)
    facing = float(rng.choice([-1.0, 1.0]))
    middle = 0.5 + rng.uniform(-0.05, 0.05) - facing * 0.06
    x = (canvas.x - middle) * facing / size
    y = (rng.uniform(0.85, 0.95) - canvas.y) / size - rng.uniform(-0.05, 0.05) * x
    coat = Coat.drawn(kind, light, rng)  # last: the same draw of everything else fits either kind

    def cover(distance: Plane, softness: float = 1.0) -> Plane:
        return canvas.inside(distance * size, softness)

    def skin(limbs: Sequence[Limb], light: float = 1.0) -> None:
        picture, outline = coat.over(limbs, x, y, light)
        canvas.paint(picture, cover(outline))

    canvas.paint((50, 50, 70), 0.34 * smoothstep(0.35, -0.5, np.hypot((x - 0.02) / 0.62, y / 0.075) - 1))
    near, far = animal.legs[:2], animal.legs[2:]
    for leg in far:
        skin(leg, 0.74)
    hooves = [Limb((leg[-1].end[0], 0.045), (leg[-1].end[0] + 0.012, 0.02), (0.041, 0.047)) for leg in animal.legs]
    canvas.paint(coat.hoof, cover(np.maximum(union(hooves[2:], x, y), y - 0.065)))
    canvas.paint(coat.hair, cover(union(animal.tail, x, y)))
    mane, along, _ = animal.mane.measure(x, y)
    canvas.paint(coat.hair, cover(mane))
    if coat.stripes:
        canvas.paint(coat.base, cover(mane) * smoothstep(-0.1, 0.5, np.sin(along * coat.stripes * 2 * np.pi)))
    for ear, shade in zip(animal.ears, (1.0, 0.8), strict=True):
        distance = ear.measure(x, y)[0]
        canvas.paint(dimmed(coat.base, 0.8 * shade), cover(distance))
    skin([*animal.trunk, *near[0], *near[1]])
    canvas.paint(coat.hoof, cover(np.maximum(union(hooves[:2], x, y), y - 0.065)))

    snout = np.hypot(x - animal.nose[0], y - animal.nose[1]) - 0.07
    canvas.paint(coat.muzzle, cover(snout, 2.5) * cover(union(animal.trunk, x, y)))
    eye = np.hypot(x - animal.eye[0], y - animal.eye[1])
    canvas.paint(dimmed(coat.base, 0.95), cover(eye - 0.042, 1.5))
    canvas.paint((26, 20, 22), cover(eye - 0.027))
    canvas.paint((255, 255, 255), cover(np.hypot(x - animal.eye[0] - 0.01, y - animal.eye[1] - 0.011) - 0.009))


def draw(kind: str, size: int, rng: np.random.Generator) -> Image.Image:
    """One picture of an animal of this kind, ``size`` pixels square."""
    canvas = Canvas.blank(size)
    light = paint_scene(canvas, rng)
    paint_animal(canvas, rng, kind, light)
    return canvas.finished()


def draw_sets(out: Path, *, count: int, held_out: int, size: int, seed: int) -> None:
    """Write ``plain/`` and ``striped/`` with ``count`` pictures each, and as many ``held_out`` ones of each."""
    for part, (folder, pictures) in enumerate(((out, count), (out / "held-out", held_out))):
        for place, kind in enumerate(KINDS):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            for index in range(pictures):
                rng = np.random.default_rng([seed, part, place, index])
                draw(kind, size, rng).save(folder / kind / f"{index:03}.png")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write the sets to")
    parser.add_argument("--count", type=int, default=200, help="training pictures of each kind (default 200)")
    parser.add_argument("--held-out", type=int, default=24, help="further pictures of each kind (default 24)")
    parser.add_argument("--size", type=int, default=64, help="side in pixels (default 64)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other pictures (default 0)")
    options = parser.parse_args(arguments)
    draw_sets(options.out, count=options.count, held_out=options.held_out, size=options.size, seed=options.seed)


if __name__ == "__main__":
    main()
