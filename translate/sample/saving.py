"""Writing pictures that were drawn: grids, and a file for each, marked as made by a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from translate.console import current
from translate.contract import Direction
from translate.data.values import FLOATS, WHOLE, Numbers
from translate.errors import UsageError
from translate.files import write_whole
from translate.infer.canvas import Canvas
from translate.infer.encode import write_photo
from translate.infer.kept import Kept
from translate.infer.levels import to_pixels
from translate.infer.marked import LOST, marked
from translate.modelfile.model import Published
from translate.preview import grid
from translate.provenance import TRAINED, save_png
from translate.watermark import Watermark


def to_bytes(images: Tensor) -> NDArray[np.uint8]:
    """(N, C, H, W) in [-1, 1] to (N, H, W, C) uint8, rounded and clamped."""
    levels = ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    pictures: NDArray[np.uint8] = levels.permute(0, 2, 3, 1).cpu().numpy()
    return pictures


def check_grid(path: Path) -> None:
    """Raise ``UsageError`` for a name that ``save_grid`` does not take."""
    if path.suffix.lower() != ".png" or path.is_dir():
        raise UsageError(f"--grid {path}: expected a file name that ends in .png")


def save_grid(path: Path, images: Tensor, rows: int | None = None, watermark: Watermark | None = None) -> None:
    """Write pictures (N, C, H, W) in [-1, 1], or RGB in uint8, as one PNG, whole or not at all, stating that a model
    made it.

    ``rows``: as many as columns unless given. ``watermark``: of the grid as a whole. Raises ``UsageError`` for a name
    that does not end in .png.
    """
    check_grid(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas, _ = marked(Canvas.of(grid([images], rows=rows).permute(1, 2, 0).contiguous().numpy()), watermark)
    save_png(path, canvas.read(0, canvas.shape[0]), TRAINED)


@dataclass(frozen=True)
class Storage:
    """How pictures are written: their ``numbers``, ``suffix`` .png or .tiff, and whether their channels are colours."""

    numbers: Numbers = WHOLE[8]
    suffix: str = ".png"
    colours: bool = True


BYTES = Storage()


def storage_of(published: Published, direction: Direction) -> Storage:
    """As the model's training pictures were: 8 or 16 bits in PNG; floats, and bands that are no colours, in TIFF."""
    data, name = published.data, direction.outputs
    colours = data.channels[name] in (1, 3, 4)
    numbers = WHOLE.get(data.bits.get(name, 8), FLOATS)
    if name in data.ranges:
        numbers = Numbers("float32", *data.ranges[name])
    return Storage(numbers, ".png" if colours and numbers.bits <= 16 else ".tiff", colours)


def picture_path(folder: Path, seed: int, number: int, suffix: str = ".png") -> Path:
    """Where ``save_each`` puts the picture of that number, counted from 0."""
    return folder / f"seed{seed}-{number:05d}{suffix}"


def save_each(
    folder: Path,
    batches: Iterator[Tensor],
    seed: int,
    storage: Storage = BYTES,
    watermark: Watermark | None = None,
) -> list[Path]:
    """Write each picture as ``seed<seed>-<k>`` into the folder, stating that a model made it; returns the paths.

    A file of that name is replaced. How many hold too little of the ``watermark`` is reported.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    weak = 0
    numbers = storage.numbers
    kind = np.dtype(numbers.type if numbers.bits <= 16 else "float32")
    for batch in batches:
        for picture in to_pixels(batch, kind):
            path = picture_path(folder, seed, len(written), storage.suffix)
            canvas, notes = marked(Canvas.of(picture), watermark)
            weak += bool(notes)
            write_whole(path, partial(_save, canvas, storage))
            written.append(path)
    if weak:
        current().warning(f"the watermark cannot be found again in {weak} of {len(written)} pictures: {LOST}")
    return written


def _save(canvas: Canvas, storage: Storage, path: Path) -> None:
    with path.open("wb") as file:
        write_photo(
            file,
            "PNG" if storage.suffix == ".png" else "TIFF",
            canvas,
            None,
            Kept(),
            numbers=storage.numbers,
            bands=not storage.colours,
            source=TRAINED,
        )
