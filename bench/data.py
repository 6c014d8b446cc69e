"""Images per second of the data path: the reference's pipeline, ours decoding each time, ours from its caches.

    python bench/data.py --a ../shared/data/horse2zebra/trainA --b ../shared/data/horse2zebra/trainB

One core, no worker threads, batch 1, from the file to a float tensor: load at 286/256 of the size, random crop, flip,
[-1, 1]. The pipelines take turns in one process; each row is the median of the rounds, with the lowest and highest.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import PIL
import torch
from PIL import Image
from torchvision import __version__ as torchvision_version
from torchvision import transforms

from translate.data.images import find_images
from translate.data.loader import Loader
from translate.data.sources import Loading
from translate.data.unpaired import Unpaired


def reference(a: Path, b: Path, size: int) -> Callable[[], object]:
    """One pair as the public CycleGAN code reads it: Pillow, then torchvision's transforms."""
    load = round(size * 286 / 256)
    steps = transforms.Compose(
        [
            transforms.Resize([load, load], transforms.InterpolationMode.BICUBIC),
            transforms.RandomCrop(size),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ]
    )
    paths = find_images(a), find_images(b)

    def pair() -> object:
        return [steps(Image.open(random.choice(found)).convert("RGB"))[None] for found in paths]

    return pair


def ours(a: Path, b: Path, size: int, cache: Literal["memory", "disk", "off"], folder: Path) -> Callable[[], object]:
    loading = Loading(size=size, cache=cache, cache_budget=8 << 30, cache_dir=folder, tell=print)
    dataset = Unpaired(a=a, b=b).open(loading)
    return Loader(dataset, batch=1, seed=0, workers=0, device=torch.device("cpu")).next_batch


def measure(pipelines: dict[str, Callable[[], object]], rounds: int, pairs: int) -> dict[str, list[float]]:
    """Images per second of each pipeline in each round, after one round that does not count."""
    rates: dict[str, list[float]] = {name: [] for name in pipelines}
    for turn in range(rounds + 1):
        for name, pair in pipelines.items():
            began = time.perf_counter()
            for _ in range(pairs):
                pair()
            if turn:
                rates[name].append(2 * pairs / (time.perf_counter() - began))
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--a", type=Path, required=True, help="folder of images")
    parser.add_argument("--b", type=Path, required=True, help="another one")
    parser.add_argument("--size", type=int, default=256, help="side of the crops")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pairs", type=int, default=40, help="pairs per pipeline and round")
    parser.add_argument("--json", type=Path, help="file to append the results to, one line of JSON")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        pipelines = {"Pillow + torchvision": reference(given.a, given.b, given.size)}
        for name, cache in (("ours, cold", "off"), ("ours, memory cache", "memory"), ("ours, disk cache", "disk")):
            pipelines[name] = ours(given.a, given.b, given.size, cache, Path(folder))  # type: ignore[arg-type]
        rates = measure(pipelines, given.rounds, given.pairs)
        pipelines.clear()  # the disk cache is still mapped, which keeps Windows from removing it
    base = statistics.median(rates["Pillow + torchvision"])
    print(f"{'pipeline':24}{'images/s':>10}{'min':>8}{'max':>8}{'ratio':>8}")
    for name, values in rates.items():
        median = statistics.median(values)
        print(f"{name:24}{median:10.0f}{min(values):8.0f}{max(values):8.0f}{median / base:8.2f}")
    machine = f"{platform.processor() or platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"
    versions = {"torch": torch.__version__, "torchvision": torchvision_version, "pillow": PIL.__version__}
    print(f"{machine}; {', '.join(f'{name} {version}' for name, version in versions.items())}; one thread")
    if given.json:
        record = {"bench": "data", "a": str(given.a), "b": str(given.b), "size": given.size, "images_per_s": rates}
        with given.json.open("a", encoding="utf-8") as out:
            out.write(json.dumps({**record, "machine": machine, "versions": versions}) + "\n")


if __name__ == "__main__":
    main()
