"""How cost grows: training steps, the data path and inference, against size, batch, number of files and pixels.

    python bench/growth.py step cyclegan --sizes 64 128 256 --batches 1 2 4
    python bench/growth.py data --files 1000 10000 100000
    python bench/growth.py infer esrgan --megapixels 0.25 0.5 1 2

`x work` is the cost per unit of work (pixels or files) relative to the table's first row, so that anything above 1 is
worse than linear. Memory is the peak of a process of its own; `own` is what came after its imports (for `infer`, after
its network too), and the growth is of that.

step: medians of interleaved rounds. The sizes are run at the first batch, the batches at the first size. CycleGAN has
nine blocks at every size; the networks of DCGAN and Pix2Pix themselves grow with the size.
data: generated JPEGs, hard links of a few, which the file system has just seen; from an empty process through the
product's own source and loader. `disk, kept` opens the cache once more that `disk` has written.
infer: one generated photo through `gantk infer`'s own path, decoding and encoding included; whole, then in tiles.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from tables import MIB, add_json, alone, append, growth, peak_bytes, row, spread, take_turns, tell_machine
from train import CASES, make_batch, make_engine, paper

import infer as infer_bench
from translate.contract import Loading, Source
from translate.data.images import Images
from translate.data.loader import Loader
from translate.data.unpaired import Unpaired
from translate.device import choose_device, keep_freed_memory
from translate.infer.options import InferOptions

Cache = Literal["memory", "disk", "device", "off"]
LINKS = 1000
"""Hard links of one file: NTFS allows 1,023."""


def make_step(model: str, size: int, batch: int, precision: str, device: torch.device) -> Callable[[], object]:
    """A training step of a network that is the same at every size, where the model permits."""
    keep_freed_memory()  # as `gantk train` does
    setup = paper(model, size, batch)
    if model == "cyclegan":
        setup = replace(setup, task=replace(setup.task, blocks=9))  # type: ignore[call-arg]
    engine = make_engine(setup, precision, device, False)
    x = make_batch(setup.data, batch, device)
    return lambda: engine.train_step(lambda: x, 0.0)


def step_memory(model: str, size: int, batch: int, precision: str, device: torch.device) -> tuple[int, int]:
    """Peak bytes of two steps, and how many of them came after the imports."""
    before = peak_bytes(device)
    step = make_step(model, size, batch, precision, device)
    for _ in range(2):
        step()
    peak = peak_bytes(device)
    return peak, peak - before


def steps(given: argparse.Namespace) -> None:
    """Two tables: against the size, and against the batch."""
    device = choose_device(given.device)
    by_size = [(size, given.batches[0]) for size in given.sizes]
    by_batch = [(given.sizes[0], batch) for batch in given.batches]
    points = list(dict.fromkeys(by_size + by_batch))
    runs = {point: make_step(given.model, *point, given.precision, device) for point in points}
    times = take_turns(runs, given.rounds, device)
    runs.clear()
    memory = {point: alone(step_memory, given.model, *point, given.precision, device) for point in points}
    widths = (5, 6, 28, 7, 9, 9, 7)
    for table in (by_size, by_batch) if len(by_batch) > 1 else (by_size,):
        print(f"{given.model}, {given.precision}: a training step")
        row(("size", "batch", "ms", "x work", "peak MiB", "own MiB", "x work"), widths)
        work = [size * size * batch for size, batch in table]
        slower = growth([statistics.median(times[point]) for point in table], work)
        larger = growth([memory[point][1] for point in table], work)
        for point, time_, memory_ in zip(table, slower, larger, strict=True):
            peak, own = memory[point]
            row((*point, spread(times[point], 1, 1e3), time_, f"{peak / MIB:.0f}", f"{own / MIB:.0f}", memory_), widths)
    for (size, batch), seconds in times.items():
        point = {"model": given.model, "precision": given.precision, "size": size, "batch": batch}
        peak, own = memory[size, batch]
        append(given.json, "growth step", point | {"seconds": seconds, "peak": peak, "own": own}, device)
    tell_machine(device)


def make_files(folder: Path, count: int, side: int) -> None:
    """``count`` small JPEGs: a few are drawn, the others are links to them, or copies where links are not possible."""
    drawn = folder / "drawn"
    drawn.mkdir(parents=True)
    infer_bench.draw(drawn, max(2, -(-count // LINKS)), side, side, ".jpg")
    originals = sorted(drawn.iterdir())
    for i in range(count - len(originals)):
        original, name = originals[i % len(originals)], folder / f"{i:06}.jpg"
        try:
            os.link(original, name)
        except OSError:
            shutil.copyfile(original, name)


def first_batch(
    source: Source, cache: Cache, kept: Path, size: int, workers: int, device: torch.device
) -> dict[str, float]:
    """Seconds, and bytes of memory (not a GPU's), from nothing to the first batch."""
    before = peak_bytes()
    loading = Loading(size=size, workers=workers, cache=cache, cache_dir=kept)
    began = time.perf_counter()
    dataset = source.open(loading)
    scanned = time.perf_counter()
    with Loader(dataset, batch=1, seed=0, workers=workers, device=device) as loader:
        loader.next_batch()
        drawn = time.perf_counter()
    peak = peak_bytes()
    return {"scan": scanned - began, "first": drawn - scanned, "peak": peak, "own": peak - before}


def files(given: argparse.Namespace) -> None:
    """One table, by cache."""
    device = choose_device(given.device)
    modes = [mode for cache in given.cache for mode in ((cache, "disk, kept") if cache == "disk" else (cache,))]
    found: dict[str, list[dict[str, float]]] = {mode: [] for mode in modes}
    for count in given.files:
        with tempfile.TemporaryDirectory(prefix="gantk-growth-") as place:
            root = Path(place)
            a, b = root / "a", root / "b"
            source = Unpaired(a=(a,), b=(b,)) if given.source == "unpaired" else Images(images=(a,))
            folders = (a, b) if given.source == "unpaired" else (a,)
            for folder in folders:
                make_files(folder, count // len(folders), given.side)
            for mode in modes:
                cache: Cache = mode.partition(",")[0]  # type: ignore[assignment]
                result = alone(first_batch, source, cache, root / "cache", given.size, given.workers, device)
                found[mode].append(result)
                setting = {"source": given.source, "files": count, "cache": mode, "size": given.size}
                setting |= {"side": given.side, "workers": given.workers}
                append(given.json, "growth data", setting | result, device)
    widths = (10, 10, 9, 7, 13, 9, 9, 7)
    print(f"{given.source}, files of {given.side} px, size {given.size}, {given.workers} threads")
    row(("cache", "files", "scan s", "x work", "1st batch s", "peak MiB", "own MiB", "x work"), widths)
    for mode, results in found.items():
        slower = growth([result["scan"] for result in results], given.files)
        larger = growth([result["own"] for result in results], given.files)
        for count, result, time_, memory in zip(given.files, results, slower, larger, strict=True):
            peak, own = (f"{result[what] / MIB:.0f}" for what in ("peak", "own"))
            seconds = f"{result['scan']:.3f}", time_, f"{result['first']:.4f}"
            row((mode.replace(", ", "-"), count, *seconds, peak, own, memory), widths)
    tell_machine(device)


def photos(given: argparse.Namespace) -> None:
    """One table for the whole photo, one for tiles."""
    device = choose_device(given.device)
    modes = {"off": "whole", given.tile: f"tile {given.tile}"}
    found: dict[str, list[dict[str, float]]] = {mode: [] for mode in modes}
    work: list[float] = []
    with tempfile.TemporaryDirectory(prefix="gantk-growth-") as place:
        for i, megapixels in enumerate(given.megapixels):
            photo, pixels = infer_bench.large_photo(Path(place) / str(i), megapixels)
            work.append(pixels / 1e6)
            for mode, results in found.items():
                options = InferOptions(
                    tile=mode, device=given.device, precision=given.precision, format="png", overwrite=True
                )
                results.append(alone(infer_bench.one_photo, given.network, photo, Path(place) / "out", options))
                setting = {"network": given.network, "megapixels": work[-1], "tile": mode}
                append(given.json, "growth infer", setting | {"precision": given.precision} | results[-1], device)
    widths = (11, 7, 6, 7, 9, 7, 9, 9, 7)
    print(f"{given.network}, {given.precision}: one photo of so many megapixels")
    row(("tiles", "MP", "tiles", "passes", "s", "x work", "peak MiB", "own MiB", "x work"), widths)
    for mode, results in found.items():
        slower = growth([result["seconds"] for result in results], work)
        larger = growth([result["own"] for result in results], work)
        for pixels, result, time_, memory in zip(work, results, slower, larger, strict=True):
            peak, own = (f"{result[what] / MIB:.0f}" for what in ("peak", "own"))
            cost = f"{pixels:.3f}", result["tiles"], result["passes"], f"{result['seconds']:.3f}", time_
            row((modes[mode].replace(" ", "-"), *cost, peak, own, memory), widths)
    tell_machine(device)


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    choice = parser.add_subparsers(required=True)
    step = choice.add_parser("step", help="training steps against image size and batch")
    step.add_argument("model", choices=sorted(CASES))
    step.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256])
    step.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4])
    step.add_argument("--rounds", type=int, default=5)
    step.add_argument("--precision", choices=["fp32", "bf16", "fp16"], default="fp32")
    step.set_defaults(run=steps)
    data = choice.add_parser("data", help="start-up, memory and the first batch against the number of files")
    data.add_argument("--files", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="in all folders together")
    data.add_argument(
        "--cache", nargs="+", choices=["memory", "disk", "device", "off"], default=["memory", "disk", "off"]
    )
    data.add_argument("--source", choices=["unpaired", "images"], default="unpaired")
    data.add_argument("--side", type=int, default=64, help="side of the files' pictures")
    data.add_argument("--size", type=int, default=64, help="as gantk train's")
    data.add_argument("--workers", type=int, default=2, help="as gantk train's")
    data.set_defaults(run=files)
    photo = choice.add_parser("infer", help="inference against pixels")
    photo.add_argument("network", choices=list(infer_bench.MODELS))
    photo.add_argument("--megapixels", type=float, nargs="+", default=[0.25, 0.5, 1, 2])
    photo.add_argument("--tile", default="256", help="side of the tiles")
    photo.add_argument("--precision", choices=["fp32", "bf16", "fp16"], default="fp32")
    photo.set_defaults(run=photos)
    for part in (step, data, photo):
        part.add_argument("--device", default="auto")
        add_json(part)
    return parser.parse_args(words)


def main() -> None:
    given = parse()
    given.run(given)


if __name__ == "__main__":
    main()
