"""``gantk sample``: pictures from noise."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from translate.console import current
from translate.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

WALK = 8
"""Pictures from one end of an interpolation to the other."""


def sample(
    model: Annotated[str, typer.Argument(help="run folder or model file of a model that samples", metavar="MODEL")],
    count: Annotated[int, typer.Option("-n", "--count", help="pictures", metavar="INT")] = 64,
    seed: Annotated[int, typer.Option(help="seed of the latents; picture k depends on it and on k", metavar="INT")] = 0,
    grid: Annotated[str | None, typer.Option(help="PNG file for all pictures side by side", metavar="FILE")] = None,
    out: Annotated[str | None, typer.Option(help="folder for one PNG file per picture", metavar="PATH")] = None,
    interpolate: Annotated[
        bool, typer.Option("--interpolate", help=f"walks of {WALK} pictures between two latents each", metavar="")
    ] = False,
    direction: Annotated[str | None, typer.Option(help="which sampler, if there are several", metavar="TEXT")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="a condition of the model, such as label=ship (gantk inspect lists them; may be repeated); with "
            "NAME=all, -n pictures of each choice, one row each",
            metavar="NAME=VALUE",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="pictures made at once", metavar="INT")] = 64,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps", metavar="TEXT")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace files that exist", metavar="")] = False,
) -> None:
    """Draw pictures from a trained model into a grid, into a folder, or both."""
    if grid is None and out is None:
        raise UsageError("nowhere to write: expected --grid FILE, --out PATH or both")
    for flag, value, least in (("-n", count, 1), ("--batch", batch, 1), ("--seed", seed, 0)):
        if value < least:
            raise UsageError(f"{flag} {value}: expected a whole number >= {least}")
    if interpolate and count % WALK:
        raise UsageError(f"-n {count} --interpolate: expected a multiple of {WALK}")

    import torch

    from translate import sample as sampling
    from translate.conditions import conditions_of, each_choice, parse_settings
    from translate.device import choose_device
    from translate.files import make_folder
    from translate.modelfile.model import load_published
    from translate.preview import to_rgb

    if grid is not None:
        sampling.check_grid(Path(grid))
        if not overwrite and os.path.lexists(grid):
            raise UsageError(f"--grid {grid}: exists already; choose another name, or --overwrite")
    chosen = choose_device(device)
    published = load_published(Path(model))
    sampler = published.direction(direction, latent=True)
    values = parse_settings(settings or [])
    choices = each_choice(sampler, values)
    for one in choices:
        conditions_of(sampler, one, 1)  # refused before anything is made
    total = count * len(choices)
    if out is not None and not overwrite:
        paths = (sampling.picture_path(Path(out), seed, number) for number in range(total))
        if taken := next(filter(os.path.lexists, paths), None):
            raise UsageError(
                f"--out {out}: {taken.name} exists already; choose another folder or --seed, or --overwrite"
            )
    if grid is not None:
        make_folder(Path(grid).parent, f"--grid {grid}")
    if out is not None:
        make_folder(Path(out), f"--out {out}")
    if interpolate:
        rows: int | None = total // WALK
        batches = sampling.interpolate_batches(
            *(published, count // WALK, WALK),
            seed=seed,
            direction=direction,
            settings=values,
            batch=batch,
            device=chosen,
        )
    else:
        rows = len(choices) if len(choices) > 1 else None
        batches = sampling.sample_batches(
            *(published, count), seed=seed, direction=direction, settings=values, batch=batch, device=chosen
        )
    console = current()
    levels: list[Tensor] = []

    def seen() -> Iterator[Tensor]:
        for pictures in batches:
            if grid is not None:  # which needs all pictures at once: as bytes, a quarter of what they are as numbers
                levels.append(to_rgb(pictures))
            yield pictures

    written = [] if out is None else sampling.save_each(Path(out), seen(), seed)
    if grid is not None:
        if out is None:
            for _ in seen():
                pass
        sampling.save_grid(Path(grid), torch.cat(levels), rows)
        console.line(f"{total} pictures: {grid}")
        console.record({"grid": grid, "count": total, "seed": seed})
    if out is not None:
        console.line(f"{len(written)} files in {out}")
        for path in written:
            console.record({"file": str(path), "seed": seed})
