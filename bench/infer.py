"""Folder inference beside a plain load-run-save loop, and where its time goes.

    python bench/infer.py --network cyclegan --side 256 --count 8 --rounds 5
    python bench/infer.py --network srgan --megapixels 50        # peak memory of one large photo
    python bench/infer.py --network esrgan --megapixels 50 --every 30

Fresh networks of the published sizes on generated photos. Loop and ``infer`` take turns in one process; each figure is
the median of the rounds, with the lowest and highest. The plain loop is what the public codes do: Pillow, torchvision's
transforms, torch's own norms in NCHW under ``no_grad``, Pillow's default PNG. ``decode`` and ``encode`` are summed over
threads, so the shares of the three stages can add up to more than 100 % of the time that passed.

``--every K`` sends only every K-th tile through the network and leaves the others grey: all stages run, on a picture of
full size, and each takes the memory that it takes; the seconds are then no measure of anything.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tables import add_json, alone, append, peak_bytes, row, spread, take_turns, tell_machine
from torch import Tensor, nn
from torchvision import transforms

from gantk_cyclegan import CycleGAN
from gantk_esrgan import ESRGAN
from gantk_srgan import SRGAN
from translate.console import Console, using
from translate.contract import Batch, DataSpec, Nets, TaskModel
from translate.device import choose_device
from translate.infer.folder import infer
from translate.infer.options import InferOptions
from translate.layers.norms import InstanceNorm
from translate.modelfile.card import Card
from translate.modelfile.model import Published, build_nets

MODELS: dict[str, tuple[Callable[[], TaskModel], DataSpec]] = {
    "cyclegan": (CycleGAN, DataSpec(256, {"a": 3, "b": 3})),
    "srgan": (lambda: SRGAN(perceptual="none"), DataSpec(96, {"low": 3, "high": 3}, scale=4)),
    "esrgan": (ESRGAN, DataSpec(128, {"low": 3, "high": 3}, scale=4)),
}


def fresh(name: str) -> Published:
    """An untrained model as if it had been published."""
    torch.manual_seed(0)
    make, data = MODELS[name]
    task = make()
    first = task.directions(data)[0]
    card = Card(plugin=name, distribution="gantk", version="0", model={}, data=data, directions=())
    nets = build_nets(task, data, first.roles).eval().requires_grad_(False)
    return Published(Path(name), card, task, nets, (first,))


def draw(folder: Path, count: int, height: int, width: int, suffix: str) -> None:
    """Photos with broad and fine structure."""
    rng = np.random.default_rng(0)
    for i in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((width, height))
        grain = rng.integers(-12, 13, (height, width, 3), dtype=np.int8)
        pixels = np.clip(np.asarray(coarse, np.int16) + grain, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:03}{suffix}", quality=92)


def plain_loop(net: nn.Module, folder: Path, out: Path, device: torch.device) -> None:
    """Load, run, save, one after the other."""
    steps = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)])
    for path in sorted(folder.iterdir()):
        x = steps(Image.open(path).convert("RGB"))[None].to(device)
        with torch.no_grad():
            y = net(x)
        picture = ((y[0].clamp(-1, 1).permute(1, 2, 0) + 1) / 2 * 255).cpu().numpy().astype(np.uint8)
        Image.fromarray(picture).save(out / f"{path.stem}.png")


def reference_network(model: Published) -> nn.Module:
    """The direction's network in NCHW and with torch's instance norm, as the public code has it."""
    net = copy.deepcopy(model.nets[model.directions[0].roles[0]])
    for name, module in list(net.named_modules()):
        if isinstance(module, InstanceNorm):
            net.set_submodule(name, nn.InstanceNorm2d(1, affine=False))
    return net


def throughput(given: argparse.Namespace, root: Path) -> None:
    """Seconds per photo of both, their ratio, and the shares of the stages."""
    model = fresh(given.network)
    device = choose_device(given.device)
    net = reference_network(model).to(device)
    photos, plain = root / "in", root / "plain"
    photos.mkdir()
    plain.mkdir()
    draw(photos, given.count, given.side, given.side, ".jpg")
    options = InferOptions(
        format="png", overwrite=True, device=given.device, precision=given.precision, batch=given.batch
    )
    stages: list[dict[str, float]] = []
    runs: dict[str, Callable[[], object]] = {
        "plain loop": lambda: plain_loop(net, photos, plain, device),
        "infer": lambda: stages.append(infer(model, [photos], root / "out", options).seconds),
    }
    times = take_turns(runs, given.rounds, device)
    figures = {f"{name}, s per photo": [each / given.count for each in times[name]] for name in times}
    figures["ratio"] = [loop / ours for loop, ours in zip(*times.values(), strict=True)]
    for stage in ("decode", "network", "encode"):
        figures[f"share of {stage}"] = [seconds[stage] / seconds["total"] for seconds in stages[1:]]  # 0: the warm-up
    print(f"{given.network}, {given.count} photos of {given.side} px, {given.precision}")
    for name, values in figures.items():
        row((name, spread(values)), (28, 28))
    setting = {name: value for name, value in vars(given).items() if name not in ("json", "megapixels")}
    append(given.json, "infer", setting | figures, device)


def large_photo(folder: Path, megapixels: float) -> tuple[Path, int]:
    """One drawn photo of three by two, and how many pixels it has."""
    width = round((megapixels * 1.5e6) ** 0.5)
    folder.mkdir(parents=True, exist_ok=True)
    draw(folder, 1, width * 2 // 3, width, ".jpg")
    return folder / "000.jpg", width * (width * 2 // 3)


def thinned(model: Published, every: int) -> Published:
    """``model``, whose network sees every ``every``-th picture of one shape only, and of batches (of crops) all."""
    direction = model.directions[0]
    seen: Counter[torch.Size] = Counter()

    def run(nets: Nets, x: Batch) -> Tensor:
        shape = x[direction.input_names[0]].shape
        if shape[0] > 1:  # the crops that begin a pass, which has to compute the tiles of the pass before
            seen.clear()
        seen[shape] += 1
        if shape[0] > 1 or (seen[shape] - 1) % every == 0:
            return direction.run(nets, x)
        size = [direction.scale * side for side in shape[2:]]
        return torch.zeros(1, model.data.channels[direction.outputs], *size)

    return replace(model, directions=(replace(direction, run=run), *model.directions[1:]))


def one_photo(network: str, photo: Path, out: Path, options: InferOptions, every: int = 1) -> dict[str, Any]:
    """What ``infer`` takes for one photo: seconds, peak bytes of this process, and those that came after its start."""
    device = choose_device(options.device)
    model = thinned(fresh(network), every)
    before = peak_bytes(device)
    records: list[dict[str, Any]] = []
    with using(Console(quiet=True, records=records.append)):
        summary = infer(model, [photo], out, options)
    if not summary.done:
        raise SystemExit(f"{network}: {summary.failures}")
    peak = peak_bytes(device)
    tiles, passes, notes = (records[0][name] for name in ("tiles", "passes", "notes"))
    figures = {"seconds": summary.seconds["total"], "peak": peak, "own": peak - before}
    return figures | {"tiles": tiles, "passes": passes, "notes": notes}


def memory(given: argparse.Namespace, root: Path) -> None:
    """Peak memory of a process while it does one photo of so many megapixels."""
    photo, pixels = large_photo(root, given.megapixels)
    options = InferOptions(format="png", device=given.device, precision=given.precision)
    result = alone(one_photo, given.network, photo, root / "out", options, given.every)
    share = f", one tile in {given.every} computed" if given.every > 1 else ""
    print(f"{given.network}, one photo of {pixels / 1e6:.3f} megapixels, {given.precision}{share}")
    for name, value in (("peak, GB", result["peak"] / 1e9), ("of it after the start", result["own"] / 1e9)):
        row((name, value), (28, 10))
    for name in ("seconds", "tiles", "passes"):
        row((name, result[name]), (28, 10))
    print("\n".join(result["notes"]), end="\n" * bool(result["notes"]))
    setting = {"network": given.network, "megapixels": pixels / 1e6, "precision": given.precision, "every": given.every}
    append(given.json, "infer memory", setting | result, choose_device(given.device))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=list(MODELS), default="cyclegan")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--megapixels", type=float, help="measure memory on one photo of this size instead")
    parser.add_argument("--every", type=int, default=1, help="with --megapixels: compute one tile in so many")
    add_json(parser)
    given = parser.parse_args()
    warnings.filterwarnings("ignore", "input's size at dim=1")  # the plain loop's norms do not know their channels
    with tempfile.TemporaryDirectory() as place:
        (memory if given.megapixels else throughput)(given, Path(place))
    tell_machine(choose_device(given.device))


if __name__ == "__main__":
    main()
