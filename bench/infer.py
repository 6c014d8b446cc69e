"""Folder inference beside a plain load-run-save loop, and where its time goes.

    python bench/infer.py --network cyclegan --side 256 --count 8 --rounds 5
    python bench/infer.py --network srgan --megapixels 50        # peak memory of one large photo

Fresh networks of the published sizes on generated photos. Loop and ``infer`` take turns in one process; each figure is
the median of the rounds, with the lowest and highest. The plain loop is what the public codes do: Pillow, torchvision's
transforms, torch's own norms in NCHW under ``no_grad``, Pillow's default PNG. ``decode`` and ``encode`` are summed over
threads, so the shares of the three stages can add up to more than 100 % of the time that passed.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision import transforms

from gantk_cyclegan import CycleGAN
from gantk_esrgan import ESRGAN
from gantk_srgan import SRGAN
from translate.hardware import choose_device
from translate.inference import InferOptions, infer
from translate.layers.norms import InstanceNorm
from translate.published import Card, Published, build_nets
from translate.task import DataSpec, TaskModel

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


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def throughput(arguments: argparse.Namespace, root: Path) -> dict[str, object]:
    """Seconds per photo of both, their ratio, and the shares of the stages."""
    model = fresh(arguments.network)
    device = choose_device(arguments.device)
    net = reference_network(model).to(device)
    photos = root / "in"
    photos.mkdir()
    draw(photos, arguments.count, arguments.side, arguments.side, ".jpg")
    options = InferOptions(
        format="png", overwrite=True, device=arguments.device, precision=arguments.precision, batch=arguments.batch
    )
    loops, ours, shares = [], [], []
    for turn in range(arguments.rounds + 1):
        (root / "plain").mkdir(exist_ok=True)
        start = time.perf_counter()
        plain_loop(net, photos, root / "plain", device)
        loop = time.perf_counter() - start
        summary = infer(model, [photos], root / "out", options)
        if turn:  # the first round warms up
            total = summary.seconds["total"]
            loops.append(loop / arguments.count)
            ours.append(total / arguments.count)
            shares.append({stage: summary.seconds[stage] / total for stage in ("decode", "network", "encode")})
    return {
        "plain loop, s per photo": spread(loops),
        "infer, s per photo": spread(ours),
        "ratio": spread([loop / own for loop, own in zip(loops, ours, strict=True)]),
        **{f"share of {stage}": spread([share[stage] for share in shares]) for stage in shares[0]},
    }


def memory(arguments: argparse.Namespace, root: Path) -> dict[str, object]:
    """Peak memory of the process while it does one photo of so many megapixels."""
    import resource

    width = round((arguments.megapixels * 1.5e6) ** 0.5)
    photos = root / "in"
    photos.mkdir()
    photo = Image.effect_mandelbrot((width * 2 // 3, width), (-2, -1.2, 0.6, 1.2), 60).rotate(90, expand=True)
    photo.convert("RGB").save(photos / "large.jpg")
    del photo
    records: list[dict[str, object]] = []
    model = fresh(arguments.network)
    options = InferOptions(device=arguments.device, precision=arguments.precision)
    summary = infer(model, [photos], root / "out", options, record=records.append)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak, GB": peak * 1024 / 1e9, "seconds": summary.seconds["total"], **records[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=list(MODELS), default="cyclegan")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--megapixels", type=float, help="measure memory on one photo of this size instead")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", "input's size at dim=1")  # the plain loop's norms do not know their channels
    with tempfile.TemporaryDirectory() as place:
        measured = (memory if arguments.megapixels else throughput)(arguments, Path(place))
    machine = {"torch": torch.__version__, "threads": torch.get_num_threads(), "machine": platform.machine()}
    print(json.dumps(vars(arguments) | machine | measured, indent=1, default=str))


if __name__ == "__main__":
    main()
