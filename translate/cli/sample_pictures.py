"""``gantk sample`` once its flags are checked: pictures from noise."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from translate.conditions import parse_settings, sweep_of
from translate.console import current
from translate.device import choose_device
from translate.errors import UsageError
from translate.files import make_folder
from translate.modelfile.model import load_published
from translate.preview import to_rgb
from translate.sample import saving
from translate.sample.animation import check_animation, save_animation
from translate.sample.options import FPS
from translate.sample.sampler import Sampler, mixing

if TYPE_CHECKING:
    from translate.cli.sample import Options


def draw(options: Options) -> None:
    """Check everything, then draw."""
    if options.grid is not None:
        saving.check_grid(options.grid)
    if options.walk is not None:
        check_animation(options.walk, options.fps or FPS)
    mark = options.mark
    device = choose_device(options.device)
    model = load_published(options.model)
    sampler = Sampler(
        model=model,
        seed=options.seed,
        direction=mixing(model) if options.mixes and not options.direction else options.direction,
        settings=parse_settings(options.settings),
        steps=options.apart,
        batch=options.batch,
        device=device,
    )
    rows = len(sampler.rows)  # refused before anything is written
    if mark is not None and not saving.storage_of(model, sampler.chosen).colours:
        raise UsageError("--watermark: this model draws no grey or colour pictures")
    if options.walk is not None:
        _walk(sampler, options, options.walk)
    elif options.mixes and options.grid is not None:
        _mix(sampler, options, options.grid)
    elif options.steps and not options.interpolate and sweep_of(sampler.chosen, sampler.settings) is None:
        raise UsageError(f"--steps {options.steps}: expected --interpolate, --walk or --set NAME=A..B")
    else:
        _pictures(sampler, options, rows)


def _walk(sampler: Sampler, options: Options, path: Path) -> None:
    frames = sampler.walk(options.pictures, loop=not options.once)  # refuses what cannot be, and draws nothing yet
    make_folder(path.parent, f"--walk {path}")
    count = save_animation(path, frames, options.fps or FPS, loop=not options.once)
    current().line(f"{count} frames: {path}")
    current().record({"walk": path, "frames": count, "seed": options.seed})


def _mix(sampler: Sampler, options: Options, grid: Path) -> None:
    make_folder(grid.parent, f"--grid {grid}")
    rows, columns = options.mix
    saving.save_grid(grid, sampler.mix(rows, columns), 1 + rows, options.mark)
    current().line(f"{rows * columns} mixed pictures, with their sources: {grid}")
    current().record({"grid": grid, "rows": rows, "columns": columns, "seed": sampler.seed})


def _pictures(sampler: Sampler, options: Options, rows: int) -> None:
    grid, out = options.grid, options.out
    total = options.pictures * rows
    storage = saving.storage_of(sampler.model, sampler.chosen)
    if out is not None and not options.overwrite:
        _check_free(out, options.seed, total, storage.suffix)
    if grid is not None:
        make_folder(grid.parent, f"--grid {grid}")
    if out is not None:
        make_folder(out, f"--out {out}")
    if options.interpolate:
        batches = sampler.interpolate(options.pictures // options.apart)
        _write(batches, options, total, total // options.apart, storage)
    else:
        _write(sampler.batches(options.pictures), options, total, rows if rows > 1 else None, storage)


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

    written = [] if out is None else saving.save_each(out, kept(), options.seed, storage, options.mark)
    if grid is not None:
        if out is None:
            for _ in kept():
                pass
        saving.save_grid(grid, torch.cat(levels), rows, options.mark)
        console.line(f"{total} pictures: {grid}")
        console.record({"grid": grid, "count": total, "seed": options.seed})
    if out is not None:
        console.line(f"{len(written)} files in {out}")
        for path in written:
            console.record({"file": str(path), "seed": options.seed})
