"""Time of a training step: ours against a plain loop in the published order, or against a checkout of the public code.

    python bench/train.py cyclegan --sizes 64 128 --precisions fp32 bf16
    python bench/train.py cyclegan --sizes 256 --peer ../pytorch-CycleGAN-and-pix2pix
    python bench/train.py all --cpu

The two take turns in one process, step by step, on the same fixed batch (data loading is measured by bench/data.py).
Each row is the median with the lowest and highest; `ratio` is reference / ours. Peak memory is measured in a process of
its own with --memory.

On a CPU under glibc `gantk train` tells the allocator to keep freed memory, and the public codes do not. So each side's
turn begins with its own setting and with a step that does not count, which maps the pages that a step of a long run
would still have; --same-allocator leaves the allocator alone.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import allocator
import cases
import reference
import torch
from reference import peer
from tables import add_json, append, peak_bytes, take_turns
from torch import Tensor, nn

from translate import plugins
from translate.config import read_overlays
from translate.contract import DataSpec, TaskModel
from translate.data.example import MadeUp
from translate.data.loader import Loader
from translate.device import AUTOCAST, choose_device, keep_freed_memory
from translate.losses.perceptual import VGGFeatures, VGGLayers
from translate.settings import Run
from translate.training.engine import Draw, Engine
from translate.training.request import tables_of


@dataclass(frozen=True)
class Case:
    """What is measured unasked of a model with the paper's settings, but for a smaller picture where that takes long.

    ``batch``: None for the paper's. ``grey``: of one channel. ``steps``: of a turn, as many as a model's rarest phase
    runs in one of.
    """

    size: int = 64
    batch: int | None = None
    grey: bool = False
    steps: int = 1
    settings: Mapping[str, object] = field(default_factory=dict)


CASES = {
    **dict.fromkeys(("cyclegan", "cut", "fastcut", "uvcgan", "pix2pix", "video-pix2pix", "colourise"), Case()),
    **dict.fromkeys(("inpaint", "restore", "realesrgan", "stargan"), Case(batch=8)),
    "spade": Case(size=128, batch=4),
    "pix2pixhd": Case(size=256),
    **dict.fromkeys(("srgan", "esrgan"), Case(settings={"warmup": 0})),
    **dict.fromkeys(("gan", "cgan"), Case(size=28, grey=True)),
    "sincut": Case(),
    "dcgan": Case(batch=64),
    "lsgan": Case(size=112, batch=16),
    "wgan": Case(),
    "wgan-gp": Case(size=32),
    **dict.fromkeys(("sagan", "biggan", "r3gan"), Case(size=32, batch=16)),
    **dict.fromkeys(("pggan", "pggan-labelled"), Case(batch=16)),
    "stylegan2": Case(batch=8, steps=16),
    **dict.fromkeys(("stackgan", "attngan"), Case(batch=16)),
}

EACH_BLOCK = ("conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4")
FEATURES = {"srgan": ("relu5_4",), "esrgan": ("conv5_4",), "realesrgan": EACH_BLOCK, "restore": EACH_BLOCK}
"""The VGG19 layers on which a model compares."""

LATE = 3_000_016
"""A step at which all models are in their last stage, in whose turn each phase runs as often as in the others."""


@dataclass(frozen=True)
class Setup:
    """What is measured: a model, its data, its run, and the step at which it is found."""

    task: TaskModel
    data: MadeUp
    run: Run
    step: int


def paper(name: str, size: int, batch: int | None) -> Setup:
    """With the paper's settings."""
    case, recipe = CASES[name], plugins.load(name).recipe
    run = replace(recipe, size=size, batch=batch or case.batch or recipe.batch)
    return Setup(make_task(name, case.settings), make_data(name, size, case.grey), run, LATE)


def cpu_config(name: str, size: int | None, batch: int | None) -> Setup:
    """As its config for a CPU trains it, in the last hundred steps."""
    cls, config = plugins.load(name), cases.CASES[name].config
    (layer,) = read_overlays([cases.CONFIGS / f"{config}.toml"], tables_of(cls), name)
    run = replace(cls.recipe, **layer["run"])
    run = replace(run, size=size or run.size, batch=batch or run.batch)
    assert run.steps is not None
    data = make_data(name, run.size, "mnist" in config)
    return Setup(make_task(name, {**CASES[name].settings, **layer.get("model", {})}), data, run, run.steps - 100)


def make_task(name: str, settings: Mapping[str, object]) -> TaskModel:
    cls = plugins.load(name)
    if name not in FEATURES or settings.get("perceptual") == "none":
        return cls(**settings)
    bare = cls(**{**settings, "perceptual": "none"})

    class WithRandomFeatures(cls):  # type: ignore[misc, valid-type]
        """VGG19's layers without its weights: the cost is the same, and nothing has to be downloaded."""

        def networks(self, data: DataSpec) -> Mapping[str, Callable[[], nn.Module]]:
            layers = FEATURES[name]
            features = VGGLayers(layers) if len(layers) > 1 else VGGFeatures(*layers)
            return {**bare.networks(data), "features": lambda: features}

    return WithRandomFeatures(**settings)


def make_data(name: str, size: int, grey: bool) -> MadeUp:
    """Noise as the model's source would give it."""
    found = plugins.load(name).source.example(size)
    assert isinstance(found, MadeUp)
    return MadeUp(replace(found.spec, channels={"image": 1})) if grey else found


def make_batch(data: MadeUp, count: int, device: torch.device) -> dict[str, Tensor]:
    with closing(Loader(data, batch=count, seed=0, workers=0, device=device)) as loader:
        return loader.next_batch()


def make_setup(given: argparse.Namespace, name: str, size: int | None) -> Setup:
    return cpu_config(name, size, given.batch) if given.cpu else paper(name, size or CASES[name].size, given.batch)


def make_engine(setup: Setup, precision: str, device: torch.device, compiled: bool) -> Engine:
    run = replace(setup.run, precision=precision, compile=compiled)  # type: ignore[arg-type]
    engine = Engine(setup.task, setup.data.spec, run, device=device)
    engine.step = setup.step
    return engine


def compare(given: argparse.Namespace, name: str, setup: Setup, precision: str) -> dict[str, list[float]]:
    """Seconds of a step, the reference's and ours."""
    device = choose_device(given.device)
    ours = make_engine(setup, precision, device, given.compile)
    x = make_batch(setup.data, setup.run.batch, device)
    dtype = AUTOCAST.get(precision)  # type: ignore[call-overload]

    def autocast() -> object:
        return nullcontext() if dtype is None or given.reference_fp32 else torch.autocast(device.type, dtype)

    if given.peer:
        move = peer.peer(given.peer, name, ours)
    else:
        loop = reference.plain_loop(name, ours, autocast)  # type: ignore[arg-type]
        loop.done, move = setup.step, loop.step
    steps = CASES[name].steps

    def turn(step: Callable[[Draw], object]) -> None:
        for _ in range(steps):
            step(lambda: x)

    runs = {"reference": lambda: turn(move), "ours": lambda: turn(lambda draw: ours.train_step(draw, 0.0))}
    with nullcontext({}) if given.same_allocator else allocator.taking_turns(device) as before:
        times = take_turns(runs, given.rounds, device, warmup=1 if before else 2, before=before)
    ours.read()
    return {way: [seconds / steps for seconds in found] for way, found in times.items()}


def peak_memory(given: argparse.Namespace, name: str, size: int, precision: str) -> float:
    """GiB that two of our steps need, in a process of its own."""
    command = [sys.executable, __file__, name, "--sizes", str(size), "--precisions", precision, "--only-memory"]
    command += ["--batch", str(given.batch)] if given.batch else []
    command += ["--same-allocator"] * given.same_allocator + ["--compile"] * given.compile + ["--cpu"] * given.cpu
    result = subprocess.run([*command, "--device", given.device], capture_output=True, text=True, check=True)
    return float(result.stdout)


def only_memory(given: argparse.Namespace) -> None:
    device = choose_device(given.device)
    if device.type == "cpu" and not given.same_allocator:
        keep_freed_memory()
    setup = make_setup(given, given.models[0], given.sizes[0])
    engine = make_engine(setup, given.precisions[0], device, given.compile)
    x = make_batch(setup.data, setup.run.batch, device)
    for _ in range(2):
        engine.train_step(lambda: x, 0.0)
    print(peak_bytes(device) / 2**30)


def measure(given: argparse.Namespace, name: str, size: int | None, precision: str) -> None:
    """A row of the table, and its line of JSON."""
    setup = make_setup(given, name, size)
    size, batch = setup.run.size, setup.run.batch
    times = compare(given, name, setup, precision)
    middle = {way: statistics.median(values) for way, values in times.items()}
    shown = [f"{1e3 * middle[way]:8.1f} ({1e3 * min(t):.1f}-{1e3 * max(t):.1f})" for way, t in times.items()]
    peak = peak_memory(given, name, size, precision) if given.memory else None
    tail = f"{peak:10.2f}" if peak is not None else ""
    cells = f"{name:14} {size:5} {batch:5} {precision:9} {shown[0]:>24} {shown[1]:>24}"
    print(f"{cells} {middle['reference'] / middle['ours']:6.2f}{tail}", flush=True)
    result = {"model": name, "size": size, "batch": batch, "precision": precision, "seconds": times}
    result |= {"same_allocator": given.same_allocator, "cpu_config": given.cpu}
    result |= {"peer": str(given.peer or ""), "compile": given.compile, "peak_gib": peak}
    append(given.json, "train", result, choose_device(given.device))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", choices=[*CASES, "all"], metavar="model", help=", ".join((*CASES, "all")))
    parser.add_argument("--cpu", action="store_true", help="as the config for a CPU has the model, in its last stage")
    parser.add_argument("--sizes", type=int, nargs="+", help="sides of the images [by model, mostly 64]")
    parser.add_argument("--precisions", nargs="+", default=["fp32"], choices=["fp32", "bf16", "fp16"])
    parser.add_argument("--batch", type=int, help="instead of the model's own")
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
    given.models = list(CASES) if "all" in given.models else given.models
    if given.peer and (others := [name for name in given.models if name not in peer.PEERS]):
        parser.error(f"--peer: the public code has {' and '.join(peer.PEERS)}, not {others[0]}")
    return given


def main() -> None:
    given = parse()
    if given.only_memory:
        only_memory(given)
        return
    device = choose_device(given.device)
    machine = torch.cuda.get_device_name() if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    print(f"{device} ({machine}), torch {torch.__version__}, {torch.get_num_threads()} threads")
    heads = f"{'model':14} {'size':>5} {'batch':>5} {'precision':9} {'reference ms':>24} {'ours ms':>24} {'ratio':>6}"
    print(heads + "  peak GiB" * given.memory)
    for name, size, precision in itertools.product(given.models, given.sizes or [None], given.precisions):
        measure(given, name, size, precision)


if __name__ == "__main__":
    main()
