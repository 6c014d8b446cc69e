"""Time of a training step: ours against a plain loop in the published order, or against a checkout of the public code.

    python bench/train.py cyclegan --sizes 64 128 --precisions fp32 bf16
    python bench/train.py cyclegan --sizes 256 --peer ../pytorch-CycleGAN-and-pix2pix

The two take turns in one process, step by step, on the same fixed batch (data loading is measured by bench/data.py).
Each row is the median with the lowest and highest; `ratio` is reference / ours. Peak memory is measured in a process of
its own with --memory.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import reference
import torch
from torch import Tensor, nn

from translate import plugins
from translate.engine import Engine
from translate.hardware import AUTOCAST, choose_device
from translate.task import DataSpec, TaskModel


@dataclass(frozen=True)
class Case:
    """A model as the paper trains it: its batch size and what its data are."""

    batch: int
    data: Callable[[int], DataSpec]
    settings: Mapping[str, object]


CASES = {
    "cyclegan": Case(1, lambda size: DataSpec(size, {"a": 3, "b": 3}), {}),
    "pix2pix": Case(1, lambda size: DataSpec(size, {"a": 3, "b": 3}), {}),
    "dcgan": Case(64, lambda size: DataSpec(size, {"image": 3}), {}),
    "srgan": Case(16, lambda size: DataSpec(size, {"low": 3, "high": 3}, scale=4), {"warmup": 0}),
}


def make_task(name: str) -> TaskModel:
    cls = plugins.load(name)
    if name != "srgan":
        return cls(**CASES[name].settings)  # type: ignore[arg-type]

    class WithRandomFeatures(cls):  # type: ignore[misc, valid-type]
        """VGG19's layers without its weights: the cost is the same, and nothing has to be downloaded."""

        def networks(self, data: DataSpec) -> Mapping[str, Callable[[], nn.Module]]:
            from torchvision.models import vgg19

            built = dict(super().networks(data))
            built["features"] = lambda: vgg19(weights=None).features[:36]
            return built

    return WithRandomFeatures(**CASES[name].settings)


def make_batch(data: DataSpec, count: int, device: torch.device) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)

    def images(domain: str, channels: int) -> Tensor:
        side = data.size // data.scale if domain == "low" else data.size
        return torch.rand(count, channels, side, side, generator=generator) * 2 - 1

    return {domain: images(domain, channels).to(device) for domain, channels in data.channels.items()}


def make_engine(name: str, size: int, batch: int, precision: str, device: torch.device, compiled: bool) -> Engine:
    return Engine(
        make_task(name),
        CASES[name].data(size),
        device=device,
        precision=precision,  # type: ignore[arg-type]
        batch=batch,
        compile_phases=compiled,
    )


def measure(runs: Mapping[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of each step, taking turns, after two rounds that do not count."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 2):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if turn >= 2:
                times[name].append(time.perf_counter() - began)
    return times


def compare(given: argparse.Namespace, size: int, precision: str) -> dict[str, list[float]]:
    device = choose_device(given.device)
    batch = given.batch or CASES[given.model].batch
    ours = make_engine(given.model, size, batch, precision, device, given.compile)
    x = make_batch(ours.data, batch, device)
    dtype = AUTOCAST.get(precision)  # type: ignore[call-overload]

    def autocast() -> object:
        return nullcontext() if dtype is None or given.reference_fp32 else torch.autocast(device.type, dtype)

    if given.peer:
        theirs = reference.peer(given.peer, "cycle_gan" if given.model == "cyclegan" else given.model, size, device)
    else:
        theirs = reference.STEPS[given.model](ours, autocast)  # type: ignore[arg-type]
    runs = {"reference": lambda: theirs(x), "ours": lambda: ours.train_step(lambda: x, 0.0)}
    times = measure(runs, given.rounds, device)
    ours.read()
    return times


def peak_memory(given: argparse.Namespace, size: int, precision: str) -> float:
    """GiB that two of our steps need, in a process of its own."""
    command = [sys.executable, __file__, given.model, "--sizes", str(size), "--precisions", precision, "--only-memory"]
    command += ["--batch", str(given.batch)] if given.batch else []
    result = subprocess.run([*command, "--device", given.device], capture_output=True, text=True, check=True)
    return float(result.stdout)


def only_memory(given: argparse.Namespace) -> None:
    device = choose_device(given.device)
    batch = given.batch or CASES[given.model].batch
    engine = make_engine(given.model, given.sizes[0], batch, given.precisions[0], device, False)
    x = make_batch(engine.data, batch, device)
    for _ in range(2):
        engine.train_step(lambda: x, 0.0)
    if device.type == "cuda":
        print(torch.cuda.max_memory_allocated() / 2**30)
    else:
        scale = 1 if sys.platform == "darwin" else 1024
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 2**30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=sorted(CASES))
    parser.add_argument("--sizes", type=int, nargs="+", default=[64])
    parser.add_argument("--precisions", nargs="+", default=["fp32"], choices=["fp32", "bf16", "fp16"])
    parser.add_argument("--batch", type=int, help="instead of the paper's")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--compile", action="store_true", help="ours with --compile")
    parser.add_argument("--reference-fp32", action="store_true", help="the reference stays in fp32, as it is published")
    parser.add_argument("--peer", type=Path, help="checkout of the public CycleGAN/pix2pix code, or of CUT's")
    parser.add_argument("--memory", action="store_true", help="measure our peak memory too")
    parser.add_argument("--only-memory", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="file to append the results to, one line of JSON each")
    given = parser.parse_args()
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
            if given.json:
                record = {
                    "bench": "train",
                    "model": given.model,
                    "size": size,
                    "precision": precision,
                    "seconds": times,
                }
                record |= {"peer": str(given.peer or ""), "compile": given.compile, "peak_gib": peak}
                record |= {"machine": f"{platform.machine()} {machine}", "torch": torch.__version__}
                with given.json.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
