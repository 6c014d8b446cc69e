"""``gantk sample``: pictures from noise."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from translate.cli import derived
from translate.conditions import parse_settings
from translate.console import current
from translate.device import choose_device
from translate.errors import UsageError
from translate.fields import Spelling
from translate.files import make_folder
from translate.modelfile.model import load_published
from translate.preview import to_rgb
from translate.sample import saving
from translate.sample.sampler import STEPS, Sampler


@dataclass(frozen=True, kw_only=True)
class Options:
    """Draw pictures from a trained model into a grid, into a folder, or both."""

    model: Annotated[Path, "run folder or model file of a sampler", Spelling(positional=True, metavar="MODEL")]
    count: Annotated[int, "pictures", Ge(1), Spelling(short="-n")] = 64
    seed: Annotated[int, "seed of the latents; picture k depends on it and on k", Ge(0)] = 0
    grid: Annotated[Path | None, "PNG file for all pictures side by side", Spelling(metavar="FILE")] = None
    out: Annotated[Path | None, "folder for one PNG file per picture"] = None
    interpolate: Annotated[bool, f"walks of {STEPS} pictures between two latents each"] = False
    direction: Annotated[str | None, "which sampler, if there are several"] = None
    settings: Annotated[
        tuple[str, ...],
        "a condition of the model, such as label=ship (gantk inspect lists them); with NAME=all, -n pictures of each "
        "choice, one row each",
        Spelling(flag="--set", metavar="NAME=VALUE"),
    ] = ()
    batch: Annotated[int, "pictures drawn at once", Ge(1)] = 64
    device: Annotated[str, "auto, cpu, cuda, cuda:N or mps"] = "auto"
    overwrite: Annotated[bool, "replace files that exist"] = False

    def __post_init__(self) -> None:
        if self.grid is None and self.out is None:
            raise UsageError("nowhere to write: expected --grid FILE, --out PATH or both")
        if self.interpolate and self.count % STEPS:
            raise UsageError(f"--count {self.count} --interpolate: expected a multiple of {STEPS}")


def sample(options: Options) -> None:
    """Check everything, then draw."""
    grid, out = options.grid, options.out
    if grid is not None:
        saving.check_grid(grid)
        if not options.overwrite and os.path.lexists(grid):
            raise UsageError(f"--grid {grid}: exists already; choose another name, or --overwrite")
    device = choose_device(options.device)
    sampler = Sampler(
        model=load_published(options.model),
        seed=options.seed,
        direction=options.direction,
        settings=parse_settings(options.settings),
        batch=options.batch,
        device=device,
    )
    rows = len(sampler.rows)  # refused before anything is written
    total = options.count * rows
    storage = saving.storage_of(sampler.model, sampler.chosen)
    if out is not None and not options.overwrite:
        _check_free(out, options.seed, total, storage.suffix)
    if grid is not None:
        make_folder(grid.parent, f"--grid {grid}")
    if out is not None:
        make_folder(out, f"--out {out}")
    if options.interpolate:
        batches = sampler.interpolate(options.count // STEPS)
        _write(batches, options, total, total // STEPS, storage)
    else:
        _write(sampler.batches(options.count), options, total, rows if rows > 1 else None, storage)


def _check_free(out: Path, seed: int, total: int, suffix: str) -> None:
    paths = (saving.picture_path(out, seed, number, suffix) for number in range(total))
    if taken := next(filter(os.path.lexists, paths), None):
        raise UsageError(f"--out {out}: {taken.name} exists already; choose another folder or --seed, or --overwrite")


def _write(batches: Iterator[Tensor], options: Options, total: int, rows: int | None, storage: saving.Storage) -> None:
    console, grid, out = current(), options.grid, options.out
    levels: list[Tensor] = []

    def kept() -> Iterator[Tensor]:
        for pictures in batches:
            if grid is not None:  # which needs all pictures at once: as bytes, a quarter of what they are as numbers
                levels.append(to_rgb(pictures))
            yield pictures

    written = [] if out is None else saving.save_each(out, kept(), options.seed, storage)
    if grid is not None:
        if out is None:
            for _ in kept():
                pass
        saving.save_grid(grid, torch.cat(levels), rows)
        console.line(f"{total} pictures: {grid}")
        console.record({"grid": grid, "count": total, "seed": options.seed})
    if out is not None:
        console.line(f"{len(written)} files in {out}")
        for path in written:
            console.record({"file": str(path), "seed": options.seed})


command = derived.command("sample", Options, sample)
