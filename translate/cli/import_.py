"""``gantk import``: weights of other codes as a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from translate.console import current
from translate.errors import UsageError


def import_(
    file: Annotated[str, typer.Argument(help=".pth, .pt, .ckpt, .tar, .th or .safetensors file", metavar="FILE")],
    out: Annotated[str, typer.Option("-o", "--out", help="model file to write; must not exist", metavar="FILE")],
    kind: Annotated[
        Literal["cyclegan", "pix2pix", "srgan", "esrgan", "dcgan"] | None,
        typer.Option("--as", help="the model to take it for; guessed from its tensors otherwise"),
    ] = None,
) -> None:
    """Turn a generator from another code into a model file that infer, sample and export take.

    Knows the ResNet and U-Net generators of CycleGAN, pix2pix and CUT, RRDBNet (ESRGAN, Real-ESRGAN, BasicSR),
    MSRResNet, leftthomas/SRGAN and PyTorch's DCGAN. Nothing in the file is run.
    """
    target = Path(out)
    if target.exists() or target.is_symlink():
        raise UsageError(f"--out {target}: exists already; choose another name")

    from translate.importing.convert import describe, import_weights

    imported = import_weights(Path(file), target, kind)
    console, about = current(), describe(imported)
    sizes = ", ".join(f"{key} {value}" for key, value in imported.layout.model.items())
    console.line(f"{target}: {imported.family.title}, as {imported.layout.plugin} ({sizes})")
    for note in imported.layout.notes:
        console.line(f"note: {note}")
    console.record({"file": str(target), **about})
