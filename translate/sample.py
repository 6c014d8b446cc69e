"""Pictures from noise: what ``gantk sample`` does, for programs as well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from translate.conditions import conditions_of, each_choice
from translate.contract import Batch, Direction, Noise
from translate.data.values import FLOATS, WHOLE, Numbers, Pixels
from translate.errors import UsageError
from translate.files import write_whole
from translate.infer.canvas import Canvas
from translate.infer.encode import write_photo
from translate.infer.kept import Kept
from translate.infer.levels import to_pixels
from translate.modelfile.model import Published
from translate.preview import grid
from translate.provenance import TRAINED, save_png

CPU = torch.device("cpu")
NOTHING: Mapping[str, str] = MappingProxyType({})


def latents(noise: Noise, count: int, seed: int) -> Tensor:
    """``count`` latents, (count, \\*shape). The k-th depends on ``seed`` and k alone, not on ``count``."""
    generator = torch.Generator().manual_seed(seed)
    return torch.cat([noise.draw(1, generator) for _ in range(count)])


def sample(
    published: Published,
    count: int,
    *,
    seed: int = 0,
    direction: str | None = None,
    settings: Mapping[str, str] = NOTHING,
    batch: int = 64,
    device: torch.device = CPU,
) -> Tensor:
    """``count`` pictures, (count, C, H, W) in [-1, 1], on the CPU.

    ``settings``: the direction's conditions by name, as ``--set`` has them. With ``all`` for one of them there are
    ``count`` pictures for each of its choices, choice by choice, from the same latents.

    The k-th picture depends on the model, ``seed`` and k alone; ``batch``, the pictures made at once, changes rounding
    at most. Raises ``UsageError`` where the model has no sampling direction, or none of that name.
    """
    batches = sample_batches(
        published, count, seed=seed, direction=direction, settings=settings, batch=batch, device=device
    )
    return torch.cat(list(batches))


def sample_batches(
    published: Published,
    count: int,
    *,
    seed: int = 0,
    direction: str | None = None,
    settings: Mapping[str, str] = NOTHING,
    batch: int = 64,
    device: torch.device = CPU,
) -> Iterator[Tensor]:
    """The pictures of ``sample``, at most ``batch`` at a time, for more of them than memory holds."""
    if count < 1:
        raise UsageError(f"-n {count}: expected 1 or more")
    chosen, noise = _sampler(published, direction)
    z = latents(noise, count, seed)
    for values in each_choice(chosen, settings):
        yield from _run(published, chosen, z, values, batch, device)


def interpolate_batches(
    published: Published,
    rows: int,
    steps: int,
    *,
    seed: int = 0,
    direction: str | None = None,
    settings: Mapping[str, str] = NOTHING,
    batch: int = 64,
    device: torch.device = CPU,
) -> Iterator[Tensor]:
    """``rows`` walks of ``steps`` pictures each between two latents, row by row, at most ``batch`` pictures at a time.

    Deterministic as ``sample`` is, and pictures as there. Normal latents are walked along the great circle (White,
    2016), whose points are as likely as its ends; uniform ones along the straight line.
    """
    if rows < 1 or steps < 2:
        raise UsageError(f"--interpolate: expected 1 or more rows of 2 or more steps, found {rows} of {steps}")
    chosen, noise = _sampler(published, direction)
    ends = latents(noise, 2 * rows, seed)
    walks = [walk(noise, start, end, steps) for start, end in zip(ends[0::2], ends[1::2], strict=True)]
    for values in each_choice(chosen, settings):
        yield from _run(published, chosen, torch.cat(walks), values, batch, device)


def walk(noise: Noise, start: Tensor, end: Tensor, steps: int) -> Tensor:
    """``steps`` latents from ``start`` to ``end`` (each of the noise's shape), both included."""
    share = torch.linspace(0, 1, steps).reshape(-1, *[1] * start.dim())
    if noise.distribution == "uniform":
        return torch.lerp(start, end, share)
    cosine = torch.nn.functional.cosine_similarity(start.flatten(), end.flatten(), dim=0).clamp(-1, 1)
    angle = cosine.acos()
    if angle.sin().abs() < 1e-6:  # parallel: every great circle, or none, goes through both
        return torch.lerp(start, end, share)
    return (torch.sin((1 - share) * angle) * start + torch.sin(share * angle) * end) / torch.sin(angle)


def to_bytes(images: Tensor) -> NDArray[np.uint8]:
    """(N, C, H, W) in [-1, 1] to (N, H, W, C) uint8, rounded and clamped."""
    levels = ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    pictures: NDArray[np.uint8] = levels.permute(0, 2, 3, 1).cpu().numpy()
    return pictures


def check_grid(path: Path) -> None:
    """Raise ``UsageError`` for a name that ``save_grid`` does not take."""
    if path.suffix.lower() != ".png" or path.is_dir():
        raise UsageError(f"--grid {path}: expected a file name that ends in .png")


def save_grid(path: Path, images: Tensor, rows: int | None = None) -> None:
    """Write pictures (N, C, H, W) in [-1, 1], or RGB in uint8, as one PNG, whole or not at all, marked as made by
    a model.

    ``rows``: as many as columns unless given; for ``interpolate_batches``, its ``rows``. Raises ``UsageError`` for a
    name that does not end in .png.
    """
    check_grid(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_png(path, grid([images], rows=rows).permute(1, 2, 0).numpy(), TRAINED)


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


def save_each(folder: Path, batches: Iterator[Tensor], seed: int, storage: Storage = BYTES) -> list[Path]:
    """Write each picture as ``seed<seed>-<k>`` into the folder, marked as made by a model; returns the paths.

    A file of that name is replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    numbers = storage.numbers
    kind = np.dtype(numbers.type if numbers.bits <= 16 else "float32")
    for batch in batches:
        for picture in to_pixels(batch, kind):
            path = picture_path(folder, seed, len(written), storage.suffix)
            write_whole(path, partial(_save, picture, storage))
            written.append(path)
    return written


def _save(picture: Pixels, storage: Storage, path: Path) -> None:
    with path.open("wb") as file:
        write_photo(
            file,
            "PNG" if storage.suffix == ".png" else "TIFF",
            Canvas.of(picture),
            None,
            Kept(),
            numbers=storage.numbers,
            bands=not storage.colours,
            source=TRAINED,
        )


def _sampler(published: Published, name: str | None) -> tuple[Direction, Noise]:
    direction = published.direction(name, latent=True)
    assert direction.latent is not None
    return direction, direction.latent


def _run(
    published: Published,
    direction: Direction,
    z: Tensor,
    settings: Mapping[str, str],
    batch: int,
    device: torch.device,
) -> Iterator[Tensor]:
    conditions = conditions_of(direction, settings, len(z))
    for start in range(0, len(z), batch):
        whole = {direction.input_names[0]: z, **conditions}
        x = Batch({name: tensor[start : start + batch].to(device) for name, tensor in whole.items()})
        with published.lock, torch.inference_mode():
            pictures = direction.run(published.nets.to(device).eval(), x)
        yield pictures.float().cpu()
