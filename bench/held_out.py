"""The pictures that bench/quality.py trains on, and those that are held out: links, or made from the data folder."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from precision import linked, split

from translate.data.decode import open_image
from translate.data.degrade import Degradation, degrade
from translate.data.holes import draw_holes
from translate.data.idx import IMAGES, LABELS, read_idx
from translate.data.listing import find_images
from translate.data.transforms import resize
from translate.sample.saving import to_bytes

ASSETS = Path(__file__).parent.parent / "assets"

DIGITS = 9500
"""Of MNIST's 10,000 test digits, how many are trained on; the others are held out."""

FACADE = (
    *((0, 0, 170), (0, 0, 255), (0, 85, 255), (0, 170, 255), (0, 255, 255), (85, 255, 170)),
    *((170, 255, 85), (255, 255, 0), (255, 170, 0), (255, 85, 0), (255, 0, 0), (170, 0, 0)),
)
"""Colours of the classes in the label maps of facades."""

Both = tuple[Path, Path]
"""What is trained on, and what is held out."""


@contextmanager
def made(place: Path) -> Iterator[Path | None]:
    """A folder to fill, which is then put at ``place``; None where that is there already."""
    if place.exists():
        yield None
        return
    fresh = place.with_name(f"{place.name}-unfinished")
    fresh.mkdir(parents=True, exist_ok=True)
    yield fresh
    fresh.rename(place)


def photos(data: Path, work: Path, *parts: str) -> Both:
    """Links to the pictures of a folder."""
    folder = data.joinpath(*parts)
    training, others = split(folder.resolve())
    place = work / "pictures" / f"{folder.parent.name}-{folder.name}"
    return linked(place / "train", training), linked(place / "held", others)


def digits(data: Path, work: Path) -> Both:
    """MNIST's test digits as files, a sub-folder for each class: the first ``DIGITS`` to train on."""
    place = work / "pictures" / "digits"
    with made(place) as fresh:
        if fresh is not None:
            images = read_idx(data / "mnist" / "t10k-images-idx3-ubyte.gz", IMAGES)
            labels = read_idx(data / "mnist" / "t10k-labels-idx1-ubyte.gz", LABELS)
            for index, (image, label) in enumerate(zip(images, labels, strict=True)):
                folder = fresh / ("train" if index < DIGITS else "held") / str(label)
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(folder / f"{index:05d}.png")
    return place / "train", place / "held"


def domains(data: Path, work: Path) -> Both:
    """Horses, zebras and paintings, a sub-folder for each."""
    place = work / "pictures" / "domains"
    for name, parts in (
        ("horse", ("horse2zebra", "trainA")),
        ("zebra", ("horse2zebra", "trainB")),
        ("monet", ("monet2photo", "trainA")),
    ):
        for side, folder in zip(("train", "held"), photos(data, work, *parts), strict=True):
            linked(place / side / name, [path.resolve() for path in find_images(folder)])
    return place / "train", place / "held"


def facades(data: Path, work: Path) -> Both:
    """Facades' labels as maps of class indices, ``labels``, and the photos, ``photos``."""
    place = work / "pictures" / "facades"
    palette = np.array(FACADE, np.float32)
    with made(place) as fresh:
        for part, side in (("train", "train"), ("val", "held")) if fresh is not None else ():
            for path in find_images(data / "facades" / part):
                pair = open_image(path, 3)
                middle = pair.shape[1] // 2
                # The square of the distance, but for what is the same for all classes.
                apart = (palette**2).sum(1) - 2 * pair[:, middle:].astype(np.float32) @ palette.T
                nearest = apart.argmin(2).astype(np.uint8)
                save(fresh / side / "labels" / f"{path.stem}.png", nearest)
                save(fresh / side / "photos" / f"{path.stem}.png", pair[:, :middle])
    return place / "train", place / "held"


def shapes(data: Path, work: Path) -> Both:
    """Drawn shapes with captions."""
    return drawn(work, "shapes", "draw_shapes.py", ("--count", "4000"), ("--count", "500"))


def clips(data: Path, work: Path) -> Both:
    """Drawn clips: ``a``, outlines, and ``b``."""
    return drawn(work, "clips", "draw_clips.py", ("--clips", "60"), ("--clips", "12"))


def drawn(work: Path, name: str, script: str, *sizes: tuple[str, ...]) -> Both:
    """What a script of assets draws, with another seed for what is held out."""
    place = work / "pictures" / name
    with made(place) as fresh:
        for seed, (side, words) in enumerate(zip(("train", "held"), sizes, strict=True)) if fresh is not None else ():
            command = [sys.executable, str(ASSETS / script), "--out", str(fresh / side), "--seed", str(seed), *words]
            subprocess.run(command, check=True)
    return place / "train", place / "held"


def cut_out(folder: Path, place: Path, side: int) -> Both:
    """Pictures of a folder as squares with a hole, as transparent PNG, and whole."""
    with made(place) as fresh:
        for number, path in enumerate(find_images(folder) if fresh is not None else ()):
            whole = resize(open_image(path, 3), side, side)
            (hole,) = draw_holes(np.random.default_rng(number), 1, side, side, (0.5, 0.5, 0.2))[:, 0]
            alpha = np.where(hole, 0, 255).astype(np.uint8)
            save(fresh / "whole" / f"{path.stem}.png", whole)
            shown = np.where(hole[:, :, None], np.uint8(128), whole)
            save(fresh / "cutout" / f"{path.stem}.png", np.dstack([shown, alpha]))
    return place / "cutout", place / "whole"


def degraded(folder: Path, place: Path, how: Degradation) -> Both:
    """Pictures of a folder, degraded as a training degrades them, and as they are."""
    with made(place) as fresh:
        for number, path in enumerate(find_images(folder) if fresh is not None else ()):
            image = open_image(path, 3)
            high = torch.from_numpy(image.copy()).permute(2, 0, 1)[None] / 127.5 - 1
            low = degrade(high, 1, torch.Generator().manual_seed(number), how)
            save(fresh / "low" / f"{path.stem}.png", to_bytes(low)[0])
            save(fresh / "high" / f"{path.stem}.png", image)
    return place / "low", place / "high"


def single(data: Path) -> Both:
    """One photo and one painting."""
    both = (find_images(data / "monet2photo" / f"train{domain}")[0] for domain in "BA")
    photo, painting = both
    return photo, painting


def patches(picture: Path, place: Path, side: int) -> Path:
    """Squares of a picture, each half over the next one."""
    with made(place) as fresh:
        if fresh is not None:
            pixels = open_image(picture, 3)
            corners = [range(0, length - side + 1, side // 2) for length in pixels.shape[:2]]
            for top, left in itertools.product(*corners):
                save(fresh / f"{top:04d}-{left:04d}.png", pixels[top : top + side, left : left + side])
    return place


def squares(folder: Path, place: Path, side: int) -> Path:
    """Pictures of a folder as squares."""
    with made(place) as fresh:
        for path in find_images(folder) if fresh is not None else ():
            save(fresh / f"{path.stem}.png", resize(open_image(path, 3), side, side))
    return place


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(pixels)).save(path)
