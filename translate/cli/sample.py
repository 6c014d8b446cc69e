"""``gantk sample``: pictures from noise."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor

from translate.cli import derived
from translate.conditions import parse_settings, sweep_of
from translate.console import current
from translate.device import choose_device
from translate.errors import UsageError
from translate.fields import Spelling
from translate.files import make_folder
from translate.modelfile.model import load_published
from translate.preview import to_rgb
from translate.sample import saving
from translate.sample.animation import FPS, check_animation, save_animation
from translate.sample.sampler import STEPS, Sampler, mixing
from translate.watermark import Watermark, read_key

PICTURES, KEYS, FRAMES = 64, 8, 24
"""Pictures in all, latents that a walk goes through, and its frames from one to the next, unless given."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Draw pictures from a trained model into a grid, into a folder, or both; or a walk between them as an animation.

    A condition can be varied: ``--set label=all`` gives -n pictures of each choice, one row each; ``--set
    truncation=0..1`` one row for each of --steps values; in a walk, ``--set label=ship..horse`` goes from one to the
    other. Numbers can go from A to B, and choices of a model whose networks take mixtures of them.
    """

    model: Annotated[Path, "run folder or model file of a sampler", Spelling(positional=True, metavar="MODEL")]
    count: Annotated[
        int | None, f"pictures [{PICTURES}], or latents that a walk goes through [{KEYS}]", Ge(1), Spelling(short="-n")
    ] = None
    seed: Annotated[int, "seed of the latents; picture k depends on it and on k", Ge(0)] = 0
    grid: Annotated[Path | None, "PNG file for all pictures side by side", Spelling(metavar="FILE")] = None
    out: Annotated[Path | None, "folder for one PNG file per picture"] = None
    interpolate: Annotated[bool, "walks of --steps pictures between two latents each"] = False
    mix: Annotated[
        tuple[Annotated[int, Ge(0)], Annotated[int, Ge(0)]],
        "rows and columns of a grid of mixed pictures: each row has the coarse styles of its first picture, each "
        "column the fine styles of its own",
        Spelling(metavar="ROWS COLUMNS"),
    ] = (0, 0)
    walk: Annotated[
        Path | None, "animation of a walk through latents: .webp, .gif or .mp4", Spelling(metavar="FILE")
    ] = None
    steps: Annotated[
        int | None,
        f"pictures from one end of an interpolation to the other, values of NAME=A..B [{STEPS}]; frames of a walk from "
        f"one latent to the next [{FRAMES}]",
        Ge(2),
    ] = None
    fps: Annotated[int | None, f"frames per second of a walk [{FPS}]", Ge(1), Le(1000)] = None
    once: Annotated[bool, "end a walk at its last latent, instead of going round and round"] = False
    direction: Annotated[str | None, "which sampler [the first that has the conditions of --set]"] = None
    settings: Annotated[
        tuple[str, ...],
        "a condition of the model, such as label=ship (gantk inspect lists them), label=all or truncation=0..1",
        Spelling(flag="--set", metavar="NAME=VALUE"),
    ] = ()
    watermark: Annotated[
        str | None,
        "add an invisible mark of this key, or of the one in @FILE, that gantk detect finds",
        Spelling(metavar="KEY"),
    ] = None
    batch: Annotated[int, "pictures drawn at once", Ge(1)] = 64
    device: Annotated[str, "auto, cpu, cuda, cuda:N or mps"] = "auto"
    overwrite: Annotated[bool, "replace files that exist"] = False

    def __post_init__(self) -> None:
        if self.walk is None and self.grid is None and self.out is None:
            raise UsageError("nowhere to write: expected --grid FILE, --out PATH or both, or --walk FILE")
        others = {"--grid": self.grid, "--out": self.out, "--interpolate": self.interpolate, "--mix": self.mixes}
        if self.walk is not None and self.watermark is not None:
            raise UsageError("--watermark: of pictures alone; expected no --walk")
        if self.walk is not None and any(others.values()):
            other = next(flag for flag, value in others.items() if value)
            raise UsageError(f"--walk {self.walk}: an animation alone; expected no {other}")
        if self.mixes and not all(self.mix):
            raise UsageError(f"--mix {self.mix[0]} {self.mix[1]}: expected 1 row or more and 1 column or more")
        if self.mixes and (self.grid is None or self.out or self.interpolate or self.count):
            raise UsageError("--mix: expected --grid FILE, and neither --out, --interpolate nor -n")
        if self.walk is None and (self.fps or self.once):
            raise UsageError(f"{'--once' if self.once else f'--fps {self.fps}'}: of a walk alone; expected --walk FILE")
        if self.interpolate and self.pictures % self.apart:
            raise UsageError(f"--count {self.pictures} --interpolate: expected a multiple of {self.apart}")

    @cached_property
    def mark(self) -> Watermark | None:
        """The mark that pictures are to have."""
        return None if self.watermark is None else Watermark(read_key("--watermark", self.watermark))

    @property
    def mixes(self) -> bool:
        """Whether pictures of two latents are drawn."""
        return any(self.mix)

    @property
    def pictures(self) -> int:
        """What is drawn, in each row of a condition that is varied: pictures, or latents of a walk."""
        return self.count or (PICTURES if self.walk is None else KEYS)

    @property
    def apart(self) -> int:
        """Steps from one latent or value to the next."""
        return self.steps or (STEPS if self.walk is None else FRAMES)


def sample(options: Options) -> None:
    """Check everything, then draw."""
    for flag, file in (("--grid", options.grid), ("--walk", options.walk)):
        if file is not None and not options.overwrite and os.path.lexists(file):
            raise UsageError(f"{flag} {file}: exists already; choose another name, or --overwrite")
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


command = derived.command("sample", Options, sample)
