"""``gantk-medical translate``: whole volumes, slice by slice."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from translate import Console, GantkError, Model, UsageError, load
from translate.files import make_folder

from gantk_medical.source import Range, from_unit, slab, to_unit
from gantk_medical.volumes import find_volumes, read_volume, write_volume

FAILED, WRONG_USE, SOME_FAILED = 1, 2, 3
"""Exit codes, as gantk has them."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser("gantk-medical", description="Volumes for gantk.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    translate = commands.add_parser("translate", help="translate volumes slice by slice, and write them as NIfTI")
    translate.add_argument("model", type=Path, help="run folder or model file of slice-pix2pix")
    translate.add_argument("volumes", type=Path, help="folder of NIfTI files or of folders of DICOM slices")
    translate.add_argument("out", type=Path, help="folder for the results")
    translate.add_argument("--axis", type=int, choices=(0, 1, 2), default=2, help="axis of the slices, as in training")
    translate.add_argument("--device", default="cpu", help="auto, cpu, cuda, cuda:N or mps [cpu]")
    options = parser.parse_args(words)
    try:
        return translate_folder(options.model, options.volumes, options.out, options.axis, options.device)
    except GantkError as error:
        Console().line(f"gantk-medical: error: {error}")
        return WRONG_USE if isinstance(error, UsageError) else FAILED


def translate_folder(path: Path, volumes: Path, out: Path, axis: int = 2, device: str = "cpu") -> int:
    """Translate each volume of a folder into ``out``; returns the exit code. Volumes that fail are reported."""
    console, model = Console(), load(path)
    ranges = model.data.ranges
    if set(ranges) != {"a", "b"} or model.data.channels["a"] % 2 == 0:
        raise UsageError(f"{path}: expected a model of slices of volumes, with the ranges of a and b")
    model.to(device)
    found = find_volumes("VOLUMES", volumes)
    if out.exists() and out.samefile(volumes):
        raise UsageError(f"OUT {out}: the folder of the volumes; expected another")
    make_folder(out, f"OUT {out}")
    failed = 0
    for name, place in found.items():
        try:
            volume = read_volume(place)
            result = translate_values(model, np.moveaxis(volume.values, axis, 0), ranges["a"], ranges["b"])
        except GantkError as error:
            console.line(f"failed: {error}")
            failed += 1
            continue
        write_volume(out / f"{name}.nii.gz", np.moveaxis(result, 0, axis), volume)
    console.line(f"{len(found) - failed} of {len(found)} volumes translated into {out}")
    return SOME_FAILED if failed else 0


def translate_values(model: Model, slices: NDArray[np.float32], given: Range, made: Range) -> NDArray[np.float32]:
    """Numbers (S, H, W) of one modality -> of the other, slice by slice."""
    scaled, neighbours = to_unit(slices, given), model.data.channels["a"] // 2
    results = []
    for place in range(len(scaled)):
        picture = torch.from_numpy(slab(scaled, place, neighbours))[None]
        results.append(from_unit(model(picture)[0, 0].clamp(-1, 1).numpy(), made))
    return np.stack(results)


if __name__ == "__main__":
    sys.exit(main())
