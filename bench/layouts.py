"""NCHW or channels_last? Time and gradients of each norm in both, by batch size.

    python bench/layouts.py --batches 1 4 16 --precisions fp32 bf16
    python bench/layouts.py --generator --size 256 --batches 1 2 --precisions fp32 bf16

Four 3x3 convolutions of 64 channels, each followed by the norm, with SiLUs between (smooth, so that rounding moves no
value across a kink), forward and backward. The error is that of the gradient with respect to the input and all weights
together, where the gradient that comes in has the layout too, against fp64 in NCHW, relative to its norm (of fp32 runs;
``torch instance`` shows the trap that our instance norm goes around). ``used`` is what
`translate.layers.layout.memory_format` chooses for a network that has the norm. With --generator it is CycleGAN's whole
generator with our instance norm.
"""

from __future__ import annotations

import argparse
import copy
import statistics
from collections.abc import Callable

import tables
import torch
from torch import Tensor, nn

from translate.device import AUTOCAST, choose_device
from translate.generators.resnet import ResnetGenerator
from translate.layers.layout import memory_format
from translate.layers.norms import norm_layer

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda channels: norm_layer("none", channels),
    "batch": lambda channels: norm_layer("batch", channels),
    "instance": lambda channels: norm_layer("instance", channels),
    "torch instance": nn.InstanceNorm2d,
}
GENERATOR = "generator"
LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
WIDTHS = (14, 5, 6, 27, 27, 6, 10, 10, 14)


def network(norm: str, channels: int) -> nn.Module:
    torch.manual_seed(0)
    if norm == GENERATOR:
        return ResnetGenerator(channels, channels)
    layers = [(nn.Conv2d(channels, channels, 3, padding=1), NORMS[norm](channels), nn.SiLU()) for _ in range(4)]
    return nn.Sequential(*(layer for block in layers for layer in block))[:-1]


def gradient(net: nn.Module, x: Tensor, incoming: Tensor) -> Tensor:
    """With respect to the input and the weights, as one vector in fp64."""
    x = x.detach().requires_grad_()
    found = torch.autograd.grad(net(x), (x, *net.parameters()), incoming)
    return torch.cat([part.double().flatten().cpu() for part in found])


def row(norm: str, batch: int, precision: str, given: argparse.Namespace) -> dict[str, object]:
    device = choose_device(given.device)
    channels = 3 if norm == GENERATOR else given.channels
    base = network(norm, channels)
    x = torch.rand(batch, channels, given.size, given.size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    incoming = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    exact = gradient(copy.deepcopy(base).double(), x.double(), incoming.double())
    runs: dict[str, Callable[[], object]] = {}
    errors = {}
    for name, layout in LAYOUTS.items():
        net = copy.deepcopy(base).to(device).to(memory_format=layout)
        placed, upstream = (tensor.to(device).contiguous(memory_format=layout) for tensor in (x, incoming))
        errors[name] = float((gradient(net, placed, upstream) - exact).norm() / exact.norm())

        def run(net: nn.Module = net, placed: Tensor = placed) -> None:
            with torch.autocast(device.type, AUTOCAST.get(precision), enabled=precision in AUTOCAST):
                loss = net(placed).square().mean()
            loss.backward()

        runs[name] = run
    times = tables.take_turns(runs, given.rounds, device, warmup=2)
    middle = {name: statistics.median(seconds) for name, seconds in times.items()}
    used = memory_format(base, device, precision, training=True)  # type: ignore[arg-type]
    return {
        "norm": norm,
        "batch": batch,
        "precision": precision,
        **{f"{name}, ms": tables.spread(seconds, 1, 1000) for name, seconds in times.items()},
        "ratio": middle["NCHW"] / middle["channels_last"],
        **{f"error {name}": f"{error:.1e}" for name, error in errors.items()},
        "used": next(name for name, layout in LAYOUTS.items() if layout == used),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--precisions", nargs="+", default=["fp32"], choices=["fp32", "bf16", "fp16"])
    parser.add_argument("--generator", action="store_true", help="CycleGAN's generator instead of the stacks")
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="auto")
    tables.add_json(parser)
    given = parser.parse_args()
    device = choose_device(given.device)
    header = ("norm", "batch", "", "NCHW, ms", "channels_last, ms", "ratio", "error", "error", "used")
    tables.row(header, WIDTHS)
    for norm in [GENERATOR] if given.generator else NORMS:
        for batch in given.batches:
            for precision in given.precisions:
                result = row(norm, batch, precision, given)
                tables.row(result.values(), WIDTHS)
                tables.append(given.json, "layouts", result, device)
    tables.tell_machine(device)


if __name__ == "__main__":
    main()
