"""Images per second of the data path: the reference's pipeline, ours decoding each time, from folders and from tar
archives of the same files, ours from its caches.

    python bench/data.py --a horses/ --b zebras/

One core, no worker threads, batch 1, from the file to a float tensor on --device: load at 286/256 of the size, random
crop, flip, [-1, 1]. The pipelines take turns in one process; each row is the median of the rounds, with the lowest and
highest.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

import PIL
import torch
from PIL import Image
from tables import add_json, append, row, spread, take_turns, tell_machine
from torchvision import __version__ as torchvision_version
from torchvision import transforms

from translate.contract import Loading
from translate.data.listing import find_images
from translate.data.loader import Loader
from translate.data.unpaired import Unpaired
from translate.device import choose_device

Cache: TypeAlias = Literal["memory", "disk", "device", "off"]
CACHES: dict[str, Cache] = {
    "ours, cold": "off",
    "ours, memory cache": "memory",
    "ours, disk cache": "disk",
    "ours, device cache": "device",
}


def reference(a: Path, b: Path, size: int, device: torch.device) -> Callable[[], object]:
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
        return [steps(Image.open(random.choice(found)).convert("RGB"))[None].to(device) for found in paths]

    return pair


def ours(a: Path, b: Path, size: int, cache: Cache, folder: Path, device: torch.device) -> Callable[[], object]:
    loading = Loading(size=size, cache=cache, cache_budget=8 << 30, cache_dir=folder)
    dataset = Unpaired(a=(a,), b=(b,)).open(loading)
    return Loader(dataset, batch=1, seed=0, workers=0, device=device).next_batch


def packed(folder: Path, file: Path) -> Path:
    """The pictures of a folder as a tar archive."""
    with tarfile.open(file, "w") as tar:
        for path in find_images(folder):
            tar.add(path, path.relative_to(folder).as_posix())
    return file


def many(pair: Callable[[], object], pairs: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(pairs):
            pair()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--a", type=Path, required=True, help="folder of images")
    parser.add_argument("--b", type=Path, required=True, help="another one")
    parser.add_argument("--size", type=int, default=256, help="side of the crops")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pairs", type=int, default=40, help="pairs per pipeline and round")
    parser.add_argument("--device", default="auto")
    add_json(parser)
    given = parser.parse_args()
    device = choose_device(given.device)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        pipelines = {"Pillow + torchvision": reference(given.a, given.b, given.size, device)}
        for name, cache in CACHES.items():
            pipelines[name] = ours(given.a, given.b, given.size, cache, Path(folder), device)
        a, b = (packed(place, Path(folder) / f"{name}.tar") for name, place in (("a", given.a), ("b", given.b)))
        pipelines["ours, cold, tar"] = ours(a, b, given.size, "off", Path(folder), device)
        runs = {name: many(pair, given.pairs) for name, pair in pipelines.items()}
        times = take_turns(runs, given.rounds, device)
        runs.clear()
        pipelines.clear()  # the disk cache is still mapped, which keeps Windows from removing it
    rates = {name: [2 * given.pairs / seconds for seconds in taken] for name, taken in times.items()}
    base = statistics.median(rates["Pillow + torchvision"])
    row(("pipeline", "images/s", "ratio"), (24, 24, 8))
    versions = {"torchvision": torchvision_version, "pillow": PIL.__version__}
    for name, values in rates.items():
        row((name, spread(values, 0), statistics.median(values) / base), (24, 24, 8))
        result = {"pipeline": name, "a": given.a, "b": given.b, "size": given.size, "images_per_s": values}
        append(given.json, "data", result | versions, device)
    tell_machine(device)
    print(", ".join(f"{name} {version}" for name, version in versions.items()))


if __name__ == "__main__":
    main()
