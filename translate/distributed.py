"""One run on several processes: rank, broadcast and one flat gradient average, on torch.distributed.

Without ``torchrun`` (no ``WORLD_SIZE`` in the environment) everything here is the identity.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch import distributed as dist

from translate.errors import UsageError


@dataclass(frozen=True)
class World:
    """The processes of a run: this one's rank and how many there are, in all and on this machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and talks to the user."""
        return self.rank == 0

    def places(self, batch: int, accumulate: int = 1) -> list[int]:
        """Which samples of a batch are this process's: of each of the batch's ``accumulate`` parts its share.

        So the first micro-batches of all processes are together the first part of the batch, as on one process.
        Raises ``UsageError`` for a batch that cannot be split.
        """
        if batch % (self.size * accumulate):
            parts = f" and --accumulate {accumulate}" if accumulate > 1 else ""
            raise UsageError(f"--batch {batch} cannot be split over {self.size} processes{parts}; expected a multiple")
        share = batch // self.size // accumulate
        first = range(self.rank * share, batch, batch // accumulate)
        return [place for start in first for place in range(start, start + share)]


def world_from_environment() -> World:
    """How torchrun (or SLURM through it) describes this process."""
    return World(
        rank=int(os.environ.get("RANK", "0")),
        size=int(os.environ.get("WORLD_SIZE", "1")),
        local_rank=int(os.environ.get("LOCAL_RANK", "0")),
        local_size=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
    )


def restarted() -> bool:
    """Whether torchrun started this process again, to resume the run that the first ones began."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def join(device: torch.device, world: World) -> None:
    """Join the process group that the environment describes; gloo on a CPU, NCCL on CUDA."""
    if world.size > 1 and not dist.is_initialized():
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=timedelta(minutes=30))


def leave() -> None:
    """Leave the process group, if there is one."""
    if _joined():
        dist.destroy_process_group()


def is_lost_process(error: BaseException) -> bool:
    """Whether the error is what a process sees of another one that was killed or has left."""
    if isinstance(error, (dist.DistError, dist.DistBackendError)):
        return True
    # gloo raises plain RuntimeErrors, of which only the text tells where they are from.
    return isinstance(error, RuntimeError) and ("gloo/transport" in str(error) or "Connection closed" in str(error))


def _joined() -> bool:
    return dist.is_available() and dist.is_initialized()


def broadcast(module: nn.Module, world: World) -> None:
    """Give every process the parameters and buffers of rank 0."""
    if world.size > 1:
        for tensor in module.state_dict().values():
            dist.broadcast(tensor, src=0)


def average_gradients(parameters: Iterable[nn.Parameter], world: World) -> None:
    """Average the gradients over all processes with one all-reduce of one flat tensor per dtype."""
    if world.size == 1:
        return
    groups: dict[torch.dtype, list[Tensor]] = {}
    for parameter in parameters:
        if parameter.grad is not None:
            groups.setdefault(parameter.grad.dtype, []).append(parameter.grad)
    for gradients in groups.values():
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat)
        flat /= world.size
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))


def average(values: Tensor, world: World) -> Tensor:
    """The mean of a tensor over all processes."""
    if world.size == 1:
        return values
    values = values.clone()
    dist.all_reduce(values)
    return values / world.size


def gather(tensor: Tensor, world: World) -> list[Tensor]:
    """The tensors of all processes, by rank; they must have one shape."""
    if world.size == 1:
        return [tensor]
    parts = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(world.size)]
    dist.all_gather(parts, tensor.contiguous())
    return parts


def gather_arrays(arrays: Sequence[np.ndarray], world: World) -> list[Sequence[np.ndarray]]:
    """The arrays of all processes, by rank, as many and of whatever shape each of them has."""
    if world.size == 1:
        return [arrays]
    found: list[Any] = [None] * world.size
    dist.all_gather_object(found, arrays)
    return found


def of_all_processes(share: Tensor) -> Tensor:
    """A batch from every process's share of it (N, ...), by rank; for state that must be the same everywhere."""
    return torch.cat(gather(share, World(size=dist.get_world_size()))) if _joined() else share


def of_this_process(whole: Tensor) -> Tensor:
    """This process's share of such a batch."""
    return whole.chunk(dist.get_world_size())[dist.get_rank()] if _joined() else whole


def largest(values: Sequence[float], world: World, device: torch.device) -> list[float]:
    """The largest of each value over all processes."""
    if world.size == 1:
        return list(values)
    found = torch.tensor(values, dtype=torch.float32, device=device)
    dist.all_reduce(found, op=dist.ReduceOp.MAX)
    numbers: list[float] = found.tolist()
    return numbers


def barrier(world: World) -> None:
    """Wait for all processes."""
    if world.size > 1:
        dist.barrier()


class _SumOverProcesses(torch.autograd.Function):
    """An all-reduce whose gradient is the sum of all processes' gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        values = values.clone()
        dist.all_reduce(values)
        return values

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        gradient = gradient.clone()
        dist.all_reduce(gradient)
        return gradient


class _Synchronised(nn.BatchNorm2d):
    """Batch norm over the batch of all processes while training; torch's own SyncBatchNorm refuses the CPU."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            passed: Tensor = super().forward(input)
            return passed
        x = input.float()
        count = x.numel() // x.shape[1] * dist.get_world_size()
        # Deviations from one shared reference, the running mean, keep the single pass accurate in fp32.
        origin = self.running_mean if self.running_mean is not None else torch.zeros_like(x[0, :, 0, 0])
        shifted = x - origin.detach().clone().view(1, -1, 1, 1)
        sums: Tensor = _SumOverProcesses.apply(torch.stack([shifted.sum((0, 2, 3)), shifted.square().sum((0, 2, 3))]))
        mean, square = sums[0] / count, sums[1] / count
        variance = (square - mean.square()).clamp_min(0)
        output: Tensor = (shifted - mean.view(1, -1, 1, 1)) * torch.rsqrt(variance + self.eps).view(1, -1, 1, 1)
        if self.running_mean is not None and self.running_var is not None and self.momentum is not None:
            with torch.no_grad():
                self.running_mean += self.momentum * mean
                self.running_var.lerp_(variance * count / (count - 1), self.momentum)
                if self.num_batches_tracked is not None:
                    self.num_batches_tracked += 1
        if self.affine:
            output = output * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)
        return output.to(input.dtype)


def synchronise_batch_norm(net: nn.Module, world: World) -> None:
    """Let every batch norm of ``net`` see the whole batch; a subclass keeps what it does in eval mode."""
    if world.size == 1:
        return
    made: dict[type, type] = {}
    for module in net.modules():
        cls = type(module)
        if isinstance(module, nn.BatchNorm2d) and not isinstance(module, _Synchronised):
            # The class is changed in place, so that weights, names and subclasses stay what they are.
            bases = (_Synchronised,) if cls is nn.BatchNorm2d else (_Synchronised, cls)
            module.__class__ = made.setdefault(cls, type(f"Synchronised{cls.__name__}", bases, {}))
