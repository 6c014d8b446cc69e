"""How to average gradients over processes: one flat all-reduce per phase, or torch's DistributedDataParallel around a
phase's loss, which sends buckets while the backward pass still runs.

    python bench/ranks.py --model cyclegan
    python bench/ranks.py --model dcgan --batch 32

Two gloo processes on this machine train the same task model on batches of their own, each way in turn: `alone` talks to
nobody, `flat` is what the engine does, `ddp` wraps each phase, and `ddp unused` lets torch look for parameters that a
phase did not use, without which a task model must use all of them. A step lasts until the slower process has ended it.
Before anything is timed, two steps of each way must give the same parameters on both processes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from tables import add_json, append, spread, tell_machine
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from translate import plugins
from translate.contract import DataSpec, Phase
from translate.device import keep_freed_memory
from translate.distributed import World
from translate.settings import Run
from translate.training.engine import Engine, Outcome

DATA = {
    "cyclegan": lambda size: DataSpec(size, {"a": 3, "b": 3}),
    "dcgan": lambda size: DataSpec(size, {"image": 3}),
}
CPU = torch.device("cpu")
RESULT = "result.json"
CLOSE = 1e-6
"""How far apart parameters may be after two steps."""


class PhaseLoss(nn.Module):
    """A phase's loss as a forward pass. Its parameters are those that the phase moves, so that these are averaged."""

    def __init__(self, roles: Mapping[str, nn.Module], run: Callable[[dict[str, Tensor]], Outcome]) -> None:
        super().__init__()
        self.roles = nn.ModuleDict(dict(roles))
        self.run = run

    def forward(self, tensors: dict[str, Tensor]) -> Outcome:
        return self.run(tensors)


class WrappedEngine(Engine):
    """The engine with DistributedDataParallel around each phase's loss, in place of its own average."""

    find_unused = False

    def _runner(self, phase: Phase) -> Callable[[dict[str, Tensor]], Outcome]:
        loss = PhaseLoss({role: self.nets[role] for role in phase.updates}, super()._runner(phase))
        return DistributedDataParallel(
            loss,
            broadcast_buffers=False,  # batch norm is synchronised, pools are each process's own
            find_unused_parameters=self.find_unused,
            gradient_as_bucket_view=True,
        )

    def _apply(self, phase: Phase, scaler: torch.amp.GradScaler) -> Tensor:
        with self._averaged_already():
            return super()._apply(phase, scaler)

    @contextmanager
    def _averaged_already(self) -> Iterator[None]:
        world, self.world = self.world, World()
        try:
            yield
        finally:
            self.world = world


class SearchingEngine(WrappedEngine):
    """The same for phases that may leave some of their parameters unused."""

    find_unused = True


def engines(given: argparse.Namespace, world: World) -> dict[str, Engine]:
    """The ways, each with networks of its own that start alike."""
    task = plugins.load(given.model)(width=given.width)
    data = DATA[given.model](given.size)
    share = len(world.places(given.batch))
    run = Run(precision="fp32", batch=given.batch)
    return {
        "alone": Engine(task, data, Run(precision="fp32", batch=share)),
        "flat": Engine(task, data, run, world),
        "ddp": WrappedEngine(task, data, run, world),
        "ddp unused": SearchingEngine(task, data, run, world),
    }


def distance(ways: Mapping[str, Engine]) -> float:
    """The largest difference between a parameter here and rank 0's in ``flat``, over the ways that communicate."""
    vectors = {
        name: torch.cat([p.detach().reshape(-1) for p in engine.nets.parameters()])
        for name, engine in ways.items()
        if name != "alone"
    }
    first = vectors["flat"].clone()
    dist.broadcast(first, src=0)
    largest = torch.stack([(vector - first).abs().max() for vector in vectors.values()]).max()
    dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    return float(largest)


def averaged_bytes(engine: Engine) -> int:
    """Bytes of gradients that a step averages."""
    phases = [phase for phase in engine.phases if phase.due(0)]
    roles = [role for phase in phases for role in phase.updates * phase.repeat]
    return sum(p.numel() * p.element_size() for role in roles for p in engine.nets[role].parameters())


def work(rank: int, given: argparse.Namespace, folder: Path) -> None:
    """One of the processes. The first writes what came of it."""
    warnings.filterwarnings("ignore", ".*broadcast_buffers.*", FutureWarning)  # its successor is not in torch 2.10
    torch.set_num_threads(given.threads)
    keep_freed_memory()
    world = World(rank, given.processes, rank)
    dist.init_process_group("gloo", init_method=(folder / "store").as_uri(), rank=rank, world_size=world.size)
    try:
        ways = engines(given, world)
        data = DATA[given.model](given.size)
        generator = torch.Generator().manual_seed(rank)
        shape = (len(world.places(given.batch)), 3, given.size, given.size)
        x = {domain: torch.rand(shape, generator=generator) * 2 - 1 for domain in data.channels}
        for engine in ways.values():
            for _ in range(2):
                engine.train_step(lambda: x, 0.0)
        apart = distance(ways)
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(given.rounds):
            for name, engine in ways.items():
                dist.barrier()
                began = time.perf_counter()
                engine.train_step(lambda: x, 0.0)
                times[name].append(time.perf_counter() - began)
        everybody: list[dict[str, list[float]]] = [{} for _ in range(world.size)]
        dist.all_gather_object(everybody, times)
        if rank == 0:
            slowest = {name: [max(step) for step in zip(*(t[name] for t in everybody), strict=True)] for name in ways}
            result = {"seconds": slowest, "bytes": averaged_bytes(ways["flat"]), "apart": apart}
            (folder / RESULT).write_text(json.dumps(result), encoding="utf-8")
    finally:
        dist.destroy_process_group()


def report(given: argparse.Namespace, times: Mapping[str, list[float]], size: int, apart: float) -> None:
    what = f"{given.model}, {given.size} px, width {given.width}, batch {given.batch}"
    print(f"{what}: {size / 1e6:.2f} MB averaged per step; {given.processes} gloo processes of {given.threads} threads")
    print(f"parameters after two steps: at most {apart:.1e} apart")
    print(f"{'way':10} {'ms':>26} {'to alone':>9}")
    alone = statistics.median(times["alone"])
    for name, values in times.items():
        print(f"{name:10} {spread(values, 1, 1e3):>26} {statistics.median(values) / alone:9.2f}")
    tell_machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=sorted(DATA), default="cyclegan")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--width", type=int, default=16, help="channels of first layers; the papers have 64")
    parser.add_argument("--batch", type=int, help="of all processes together [cyclegan: 1 each, dcgan: 16 each]")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--rounds", type=int, default=15)
    add_json(parser)
    given = parser.parse_args()
    given.batch = given.batch or given.processes * (1 if given.model == "cyclegan" else 16)
    os.environ["OMP_NUM_THREADS"] = str(given.threads)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ["TORCH_CPP_LOG_LEVEL"] = "ERROR"  # else it warns that `ddp unused` finds nothing unused
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(work, args=(given, Path(folder)), nprocs=given.processes)
        result = json.loads((Path(folder) / RESULT).read_text(encoding="utf-8"))
    report(given, result["seconds"], result["bytes"], result["apart"])
    asked = {name: getattr(given, name) for name in ("model", "size", "width", "batch", "processes")}
    append(given.json, "ranks", {**asked, "threads_each": given.threads, **result})
    if result["apart"] > CLOSE:
        raise SystemExit(f"after two steps the parameters are {result['apart']:.1e} apart, more than {CLOSE:.0e}")


if __name__ == "__main__":
    main()
