"""Inference in tiles beside the whole picture: time, what is computed twice, and how far the results are apart.

    python bench/tiles.py cyclegan srgan esrgan --side 512 --tile 128 --rounds 3

Fresh networks of the published sizes on one generated square photo, in memory: nothing is decoded or encoded. Whole and
tiles take turns in one process; `ratio` is tiles / whole. `computed` is how many pixels went through the network per
pixel of the photo: the tiles' overlap, times the passes that instance norm takes. `apart` is the largest difference of
the two results in steps of 1/255, `differ` the share of values that are not equal, and `deviation` the standard
deviation of the whole result in the same steps: the less of it a fresh network has, the less the other two say.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tables import add_json, append, row, spread, take_turns, tell_machine

from infer import MODELS, draw, fresh
from translate.data.decode import Pixels, open_image
from translate.device import choose_device
from translate.infer.options import InferOptions
from translate.infer.result import Result
from translate.infer.runner import Network
from translate.modelfile.model import Published


class Counted:
    """One way of doing a photo: ``result`` of the last time, and the ``pixels`` that the network saw for it."""

    def __init__(self, model: Published, device: torch.device, options: InferOptions) -> None:
        direction = model.directions[0]
        self._run = direction.run
        self._network = Network(model, replace(direction, run=self._count), device, options)
        self.pixels = 0
        self.result: Result | None = None

    def _count(self, nets, x):  # type: ignore[no-untyped-def]
        y = self._run(nets, x)
        scale = self._network.direction.scale
        self.pixels += y.shape[0] * y.shape[2] * y.shape[3] // scale**2
        return y

    def __call__(self, photo: Pixels) -> None:
        self.pixels = 0
        self.result = self._network.translate([photo])[0]

    def image(self) -> Pixels:
        assert self.result is not None
        return self.result.canvas.read(0, self.result.canvas.shape[0])


def compare(name: str, photo: Pixels, given: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """All figures of one network."""
    model = fresh(name)
    ways = {
        way: Counted(model, device, InferOptions(tile=tile, device=given.device, precision=given.precision))
        for way, tile in (("whole", "off"), ("tiles", given.tile))
    }
    runs: dict[str, Callable[[], object]] = {way: partial(run, photo) for way, run in ways.items()}
    seconds = take_turns(runs, given.rounds, device)
    tiled = ways["tiles"].result
    assert tiled is not None
    whole, parts = (run.image() for run in ways.values())
    apart = np.maximum(whole, parts) - np.minimum(whole, parts)
    return {
        "tiles": tiled.tiles,
        "passes": tiled.passes,
        "computed": ways["tiles"].pixels / (photo.shape[0] * photo.shape[1]),
        "apart": int(apart.max()),
        "differ": np.count_nonzero(apart) / apart.size,
        "deviation": float(whole.std()),
        "notes": tiled.notes,
        "seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+", choices=list(MODELS))
    parser.add_argument("--side", type=int, default=512, help="of the photo, in pixels")
    parser.add_argument("--tile", default="128", help="side of the tiles, their overlap not counted")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", choices=["fp32", "bf16", "fp16"], default="fp32")
    add_json(parser)
    given = parser.parse_args()
    device = choose_device(given.device)
    with tempfile.TemporaryDirectory() as place:
        draw(Path(place), 1, given.side, given.side, ".png")
        photo = open_image(Path(place) / "000.png", 3)
    print(f"a photo of {given.side} px, tiles of {given.tile} px, {given.precision}")
    widths = (9, 26, 26, 7, 6, 7, 9, 6, 9, 10)
    row(
        ("network", "whole s", "tiles s", "ratio", "tiles", "passes", "computed", "apart", "differ", "deviation"),
        widths,
    )
    for name in given.networks:
        found = compare(name, photo, given, device)
        whole, tiles = found["seconds"]["whole"], found["seconds"]["tiles"]
        ratio = statistics.median(tiles) / statistics.median(whole)
        counts = (found[what] for what in ("tiles", "passes", "computed", "apart"))
        quality = f"{100 * found['differ']:.3f} %", found["deviation"]
        row((name, spread(whole), spread(tiles), ratio, *counts, *quality), widths)
        for note in found["notes"]:
            print(f"  {note}")
        setting = {"network": name, "side": given.side, "tile": given.tile, "precision": given.precision}
        append(given.json, "tiles", setting | found, device)
    tell_machine(device)


if __name__ == "__main__":
    main()
