"""How much memory a training step needs, before the first one."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from translate.contract import Batch, DataSpec, Nets, Phase, TaskModel
from translate.device import is_out_of_memory
from translate.errors import GantkError
from translate.settings import Run


@dataclass(frozen=True)
class Estimate:
    """Bytes that a run needs: ``state`` (weights, gradients, optimizers, averages) all the time, and ``activations``
    of the largest phase, for one micro-batch in fp32."""

    state: int
    activations: int

    def __str__(self) -> str:
        total = self.state + self.activations
        unit, name = (2**30, "GiB") if total >= 2**30 else (2**20, "MiB")
        state = f"{self.state / unit:.3g} of weights and optimizers"
        return f"about {total / unit:.3g} {name} ({state}, the rest for one micro-batch in fp32)"


def estimate(
    task: TaskModel, data: DataSpec, nets: Nets, batch: Mapping[str, Tensor], averaged: Iterable[str] = ()
) -> Estimate | None:
    """What a step on ``batch`` would need, found by running every phase on the meta device, which computes nothing.

    ``averaged``: roles of which a moving average is kept too. None where a phase needs real values.
    """
    shapes = Nets({role: copy.deepcopy(net).to("meta") for role, net in nets.items()})
    moved = {role for phase in task.phases(data) for role in phase.updates}
    weights = {role: _bytes([*net.parameters(), *net.buffers()]) for role, net in nets.items()}
    state = sum(size * (4 if role in moved else 1) for role, size in weights.items())
    state += sum(weights[role] for role in averaged)
    x = Batch({name: tensor.to("meta") for name, tensor in batch.items()})
    x["step"] = torch.zeros((), dtype=torch.int64, device="meta")
    x["progress"] = torch.zeros((), device="meta")
    count = max((len(tensor) for tensor in batch.values()), default=1)
    largest = 0
    try:
        for phase in task.phases(data):
            largest = max(largest, _activations(phase, shapes, x, count))
    except (NotImplementedError, RuntimeError):
        return None
    return Estimate(state, largest)


def _activations(phase: Phase, nets: Nets, x: Batch, count: int) -> int:
    for role, net in nets.items():
        net.requires_grad_(role in phase.updates)
    for name, noise in phase.noise.items():
        x[name] = torch.empty(count, *noise.shape, device="meta")
    known = {parameter.untyped_storage()._cdata for parameter in nets.parameters()}
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            sizes[storage._cdata] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        terms = phase.loss(nets, x)
        total = torch.stack([term.float() for term in terms.values()]).sum()  # holds the graph while it is measured
    assert total.is_meta
    return sum(sizes.values())


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@contextmanager
def naming_what_saves_memory(step: int, run: Run) -> Iterator[None]:
    """Turn running out of memory into a ``GantkError`` that names the flags that need less."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        cache = "--cache memory, " if run.cache == "device" else ""
        raise GantkError(
            f"out of memory at step {step}: a smaller --batch or --size, a larger --accumulate, {cache}"
            "--recompute or --precision bf16 would help"
        ) from error
