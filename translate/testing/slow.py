"""Checks that take seconds to minutes: compilation, and two processes."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch import distributed as dist
from torch.multiprocessing.spawn import ProcessRaisedException, spawn

from translate.contract import Batch, Nets, Phase, Terms
from translate.distributed import World
from translate.errors import named_line, one_line
from translate.testing.subject import COMPARES, Gradients, Problem, Skipped, Subject, freeze, unequal


def compiled(subject: Subject) -> Iterator[Problem]:
    """each phase compiles whole"""
    inputs_of: dict[str, tuple[Phase, dict[str, Tensor]]] = {}

    def spy(phase: Phase, nets: Nets, x: Batch) -> Terms:
        inputs_of.setdefault(phase.name, (phase, dict(x)))
        return phase.loss(nets, x)

    engine = subject.engine(spy=spy)
    subject.train(engine)
    for phase, tensors in inputs_of.values():
        for role, net in engine.nets.items():
            net.requires_grad_(role in phase.updates)

        def run(tensors: dict[str, Tensor], loss: Callable[[Nets, Batch], Terms] = phase.loss) -> dict[str, Tensor]:
            return dict(loss(engine.nets, Batch(tensors)))

        torch.compiler.reset()
        try:
            torch.compile(run, fullgraph=True, backend="aot_eager", dynamic=False)(tensors)
        except Exception as error:
            where = subject.where(phase.loss)
            yield Problem(f"phase {phase.name} in one graph", named_line(error), where)


def processes(subject: Subject) -> Iterator[Problem]:
    """two processes give the gradient of one (batch statistics and dropout frozen)"""
    if subject.task.compares_samples:
        raise Skipped(COMPARES)
    one: Gradients = []
    engine = subject.engine(log=one)
    freeze(engine.nets)
    subject.train(engine)
    try:
        spawn(_process, args=(subject, 2), nprocs=2)
    except ProcessRaisedException as error:
        raise RuntimeError(f"in another process: {str(error).strip().splitlines()[-1]}") from error
    except (
        AttributeError,
        TypeError,
        pickle.PicklingError,
    ) as error:  # what pickle says of a class that it cannot import
        raise Skipped(f"the task model cannot be sent to another process ({one_line(error)})") from None
    kept = load_file(subject.folder / "gradients.safetensors")
    two = [(role, [kept.get(f"{turn}/{i}") for i in range(len(grads))]) for turn, (role, grads) in enumerate(one)]
    yield from unequal(one, two, "{role}: one process's gradient from two", subject)


def _process(rank: int, subject: Subject, size: int) -> None:
    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo") if Path("/sys/class/net/lo").exists() else None
    store = (subject.folder / "store").as_uri()
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=size)
    try:
        log: Gradients = []
        engine = subject.engine(log=log, world=World(rank=rank, size=size))
        freeze(engine.nets)
        subject.train(engine)
        if rank == 0:
            flat = {f"{n}/{i}": g for n, (_, grads) in enumerate(log) for i, g in enumerate(grads) if g is not None}
            save_file({k: g.contiguous().clone() for k, g in flat.items()}, subject.folder / "gradients.safetensors")
        dist.barrier()
    finally:
        dist.destroy_process_group()
