"""One picture larger than memory, window by window: seconds and peak memory of a process that does nothing else.

    python bench/windows.py --megapixels 2000
    python bench/windows.py --megapixels 500 --norm
    python bench/windows.py --megapixels 100 --scale 4

A drawn square BigTIFF in JPEG tiles, and a fresh network of two convolutions, with ``--norm`` an instance norm between
them, whose statistics take several passes. ``peak`` is the most that was resident; ``start`` what was so before the
picture was opened. The picture stays in ``--folder``, where one is named, for the next run. ``--every K`` sends only
every K-th tile through the network, as in ``infer.py``: all is read and written, and takes the memory that it takes.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image
from tables import add_json, alone, append, peak_bytes, row, tell_machine
from torch import nn

from infer import thinned
from translate.console import Console, using
from translate.contract import Batch, DataSpec, Direction, Nets, Networks, Phase, Source, TaskModel
from translate.device import choose_device
from translate.infer.folder import infer
from translate.infer.options import InferOptions
from translate.layers.norms import InstanceNorm
from translate.modelfile.card import Card
from translate.modelfile.model import Published

SIDE, KINDS = 512, 16


@dataclass(frozen=True, kw_only=True)
class Applied(TaskModel):
    """A model that is only ever applied."""

    source = Source

    def networks(self, data: DataSpec) -> Networks:
        return {}

    def phases(self, data: DataSpec) -> list[Phase]:
        return []

    def directions(self, data: DataSpec) -> list[Direction]:
        return []


def two_convolutions(width: int, scale: int, norm: bool) -> Published:
    """A network that sees two pixels far."""
    torch.manual_seed(0)
    between = [InstanceNorm(width)] if norm else []
    last = nn.Conv2d(width, 3 * scale**2, 3, padding=1)
    net = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), *between, nn.ReLU(), last, nn.PixelShuffle(scale), nn.Tanh())
    data = DataSpec(64, {"a": 3, "b": 3}, scale=scale)

    def run(nets: Nets, x: Batch) -> torch.Tensor:
        y: torch.Tensor = nets["g"](x["a"])
        return y

    direction = Direction("a2b", "a", "b", ("g",), run, scale=scale, margin=2)
    card = Card(plugin="windows", distribution="gantk", version="0", model={}, data=data, directions=())
    return Published(Path("windows"), card, Applied(), Nets({"g": net.eval().requires_grad_(False)}), (direction,))


def draw(path: Path, side: int) -> None:
    """A square picture of tiles that differ in colour and grain, darker to the right."""
    rng = np.random.default_rng(0)
    kinds = []
    for _ in range(KINDS):
        coarse = Image.fromarray(rng.integers(40, 216, (8, 8, 3), dtype=np.uint8)).resize((SIDE, SIDE))
        kinds.append(np.asarray(coarse, np.int16) + rng.integers(-12, 13, (SIDE, SIDE, 3), dtype=np.int16))
    count = math.ceil(side / SIDE)

    def tiles() -> Iterator[NDArray[np.uint8]]:
        for number in range(count * count):
            shade = -60 * (number % count) // count
            yield np.clip(kinds[rng.integers(KINDS)] + shade, 0, 255).astype(np.uint8)

    shape, tile = (side, side, 3), (SIDE, SIDE)
    how = {"photometric": "rgb", "compression": "jpeg", "compressionargs": {"level": 90}, "metadata": None}
    tifffile.imwrite(path, tiles(), shape=shape, dtype="uint8", tile=tile, bigtiff=True, maxworkers=1, **how)


def measure(photo: Path, out: Path, width: int, scale: int, norm: bool, every: int) -> dict[str, Any]:
    """What ``infer`` takes for the picture."""
    model = thinned(two_convolutions(width, scale, norm), every)
    start = peak_bytes()
    records: list[dict[str, Any]] = []
    with using(Console(records=records.append)):
        summary = infer(model, [photo], out, InferOptions(device="cpu", max_pixels=1, overwrite=True))
    if not summary.done:
        raise SystemExit(str(summary.failures))
    peak, (record,) = peak_bytes(), records
    return {"seconds": summary.seconds["total"], "peak": peak, "start": start} | {
        name: record[name] for name in ("tiles", "passes")
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, default=2000)
    parser.add_argument("--width", type=int, default=16, help="channels between the two convolutions")
    parser.add_argument("--scale", type=int, default=1, choices=[1, 2, 4])
    parser.add_argument("--norm", action="store_true", help="an instance norm between them")
    parser.add_argument("--every", type=int, default=1, help="compute one tile in so many")
    parser.add_argument("--folder", type=Path, help="where the picture is drawn, and stays")
    add_json(parser)
    given = parser.parse_args()
    side = math.ceil(math.sqrt(given.megapixels * 1e6))
    with tempfile.TemporaryDirectory() as place:
        folder = given.folder or Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        photo = folder / f"{side}.tif"
        if not photo.exists():
            began = time.perf_counter()
            draw(photo, side)
            print(f"drawn in {time.perf_counter() - began:.0f} s")
        found = alone(measure, photo, Path(place) / "out", given.width, given.scale, given.norm, given.every)
    norm = ", instance norm" if given.norm else ""
    share = f", one tile in {given.every} computed" if given.every > 1 else ""
    print(f"{side} x {side} pixels, {given.width} channels{norm}, scale {given.scale}{share}")
    widths = (28, 10)
    row(("seconds", found["seconds"]), widths)
    row(("seconds per gigapixel", found["seconds"] / side**2 * 1e9), widths)
    for name in ("peak", "start"):
        row((f"{name}, GB", found[name] / 1e9), widths)
    for name in ("tiles", "passes"):
        row((name, found[name]), widths)
    setting = {"side": side, "width": given.width, "scale": given.scale, "norm": given.norm, "every": given.every}
    append(given.json, "windows", setting | found, choose_device("cpu"))
    tell_machine(choose_device("cpu"))


if __name__ == "__main__":
    main()
