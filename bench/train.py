"""Time of a training step: ours against a plain loop in the published order, or against a checkout of the public code.

    python bench/train.py cyclegan --sizes 64 128 --precisions fp32 bf16
    python bench/train.py cyclegan --sizes 256 --peer ../pytorch-CycleGAN-and-pix2pix

The two take turns in one process, step by step, on the same fixed batch (data loading is measured by bench/data.py).
Each row is the median with the lowest and highest; `ratio` is reference / ours. Peak memory is measured in a process of
its own with --memory.

On a CPU under glibc `gantk train` tells the allocator to keep freed memory, and the public codes do not. So each side's
turn begins with its own setting and with a step that does not count, which maps the pages that a step of a long run
would still have; --same-allocator leaves the allocator alone.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import allocator
import reference
import torch
from reference import peer
from tables import add_json, append, peak_bytes, take_turns
from torch import Tensor, nn

from translate import plugins
from translate.contract import DataSpec, TaskModel
from translate.device import AUTOCAST, choose_device, keep_freed_memory
from translate.losses.perceptual import VGGFeatures
from translate.settings import Run
from translate.training.engine import Engine


@dataclass(frozen=True)
class Case:
    """A model as the paper trains it: its batch size and what its data are. ``size`` is what is measured unasked."""

    batch: int
    data: Callable[[int], DataSpec]
    settings: Mapping[str, object]
    size: int = 64


CASES = {
    "cyclegan": Case(1, lambda size: DataSpec(size, {"a": 3, "b": 3}), {}),
    "pix2pix": Case(1, lambda size: DataSpec(size, {"a": 3, "b": 3}), {}),
    "dcgan": Case(64, lambda size: DataSpec(size, {"image": 3}), {}),
    "srgan": Case(16, lambda size: DataSpec(size, {"low": 3, "high": 3}, scale=4), {"warmup": 0}),
    "esrgan": Case(16, lambda size: DataSpec(size, {"low": 3, "high": 3}, scale=4), {"warmup": 0}),
    "gan": Case(100, lambda size: DataSpec(size, {"image": 1}), {}, size=28),
}

FEATURES = {"srgan": "relu5_4", "esrgan": "conv5_4"}
"""The VGG19 layer on which a model compares."""


def make_task(name: str) -> TaskModel:
    cls = plugins.load(name)
    if name not in FEATURES:
        return cls(**CASES[name].settings)  # type: ignore[arg-type]

    class WithRandomFeatures(cls):  # type: ignore[misc, valid-type]
        """VGG19's layers without its weights: the cost is the same, and nothing has to be downloaded."""

        def networks(self, data: DataSpec) -> Mapping[str, Callable[[], nn.Module]]:
            return {**super().networks(data), "features": lambda: VGGFeatures(FEATURES[name])}

    return WithRandomFeatures(**CASES[name].settings)


def make_batch(data: DataSpec, count: int, device: torch.device) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)

    def images(domain: str, channels: int) -> Tensor:
        side = data.size // data.scale if domain == "low" else data.size
        return torch.rand(count, channels, side, side, generator=generator) * 2 - 1

    return {domain: images(domain, channels).to(device) for domain, channels in data.channels.items()}


def make_engine(name: str, size: int, batch: int, precision: str, device: torch.device, compiled: bool) -> Engine:
    task = make_task(name)
    run = Run(size=size, batch=batch, precision=precision, ema=task.recipe.ema, compile=compiled)  # type: ignore[arg-type]
    return Engine(task, CASES[name].data(size), run, device=device)


def compare(given: argparse.Namespace, size: int, precision: str) -> dict[str, list[float]]:
    device = choose_device(given.device)
    batch = given.batch or CASES[given.model].batch
    ours = make_engine(given.model, size, batch, precision, device, given.compile)
    x = make_batch(ours.data, batch, device)
    dtype = AUTOCAST.get(precision)  # type: ignore[call-overload]

    def autocast() -> object:
        return nullcontext() if dtype is None or given.reference_fp32 else torch.autocast(device.type, dtype)

    if given.peer:
        theirs = peer.peer(given.peer, given.model, ours)
    else:
        theirs = reference.plain_loop(given.model, ours, autocast).step  # type: ignore[arg-type]
    runs = {"reference": lambda: theirs(lambda: x), "ours": lambda: ours.train_step(lambda: x, 0.0)}
    with nullcontext({}) if given.same_allocator else allocator.taking_turns(device) as before:
        times = take_turns(runs, given.rounds, device, warmup=1 if before else 2, before=before)
    ours.read()
    return times


def peak_memory(given: argparse.Namespace, size: int, precision: str) -> float:
    """GiB that two of our steps need, in a process of its own."""
    command = [sys.executable, __file__, given.model, "--sizes", str(size), "--precisions", precision, "--only-memory"]
    command += ["--batch", str(given.batch)] if given.batch else []
    command += ["--same-allocator"] * given.same_allocator + ["--compile"] * given.compile
    result = subprocess.run([*command, "--device", given.device], capture_output=True, text=True, check=True)
    return float(result.stdout)


def only_memory(given: argparse.Namespace) -> None:
    device = choose_device(given.device)
    if device.type == "cpu" and not given.same_allocator:
        keep_freed_memory()
    batch = given.batch or CASES[given.model].batch
    engine = make_engine(given.model, given.sizes[0], batch, given.precisions[0], device, given.compile)
    x = make_batch(engine.data, batch, device)
    for _ in range(2):
        engine.train_step(lambda: x, 0.0)
    print(peak_bytes(device) / 2**30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=sorted(CASES))
    parser.add_argument("--sizes", type=int, nargs="+", help="sides of the images [gan: 28, else 64]")
    parser.add_argument("--precisions", nargs="+", default=["fp32"], choices=["fp32", "bf16", "fp16"])
    parser.add_argument("--batch", type=int, help="instead of the paper's")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--compile", action="store_true", help="ours with --compile")
    parser.add_argument("--reference-fp32", action="store_true", help="the reference stays in fp32, as it is published")
    parser.add_argument("--peer", type=Path, help="checkout of the public CycleGAN/pix2pix code, or of CUT's")
    parser.add_argument("--same-allocator", action="store_true", help="leave the allocator as it is, for both")
    parser.add_argument("--memory", action="store_true", help="measure our peak memory too")
    parser.add_argument("--only-memory", action="store_true", help=argparse.SUPPRESS)
    add_json(parser)
    given = parser.parse_args()
    given.sizes = given.sizes or [CASES[given.model].size]
    if given.peer and given.model not in peer.PEERS:
        parser.error(f"--peer: the public code has {' and '.join(peer.PEERS)}, not {given.model}")
    if given.only_memory:
        only_memory(given)
        return
    device = choose_device(given.device)
    machine = torch.cuda.get_device_name() if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    print(f"{given.model}, {device} ({machine}), torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(
        f"{'size':>5} {'precision':9} {'reference ms':>24} {'ours ms':>24} {'ratio':>6}" + "  peak GiB" * given.memory
    )
    for size in given.sizes:
        for precision in given.precisions:
            times = compare(given, size, precision)
            middle = {name: statistics.median(values) for name, values in times.items()}
            shown = [f"{1e3 * middle[n]:8.1f} ({1e3 * min(t):.1f}-{1e3 * max(t):.1f})" for n, t in times.items()]
            ratio = middle["reference"] / middle["ours"]
            peak = peak_memory(given, size, precision) if given.memory else None
            tail = f"{peak:10.2f}" if peak is not None else ""
            print(f"{size:5} {precision:9} {shown[0]:>24} {shown[1]:>24} {ratio:6.2f}{tail}", flush=True)
            result = {"model": given.model, "size": size, "precision": precision, "seconds": times}
            result |= {"batch": given.batch or CASES[given.model].batch, "same_allocator": given.same_allocator}
            result |= {"peer": str(given.peer or ""), "compile": given.compile, "peak_gib": peak}
            append(given.json, "train", result, device)


if __name__ == "__main__":
    main()
