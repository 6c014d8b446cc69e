"""Whether an exported model computes what the original does, by the other tool's own run of it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from translate.conditions import examples_of
from translate.contract import Direction
from translate.data.example import noise_pictures
from translate.errors import GantkError, UsageError, one_line
from translate.export.options import HALF_TOLERANCE, TOLERANCE
from translate.modelfile.model import Published


class ExportError(GantkError):
    """An exported model that does not compute what the original does, or that cannot be exported."""


def only_network(model: Published, direction: Direction) -> nn.Module | None:
    """The one network that a direction of one input runs; None where it runs several, reads more or looks back."""
    single = len(direction.roles) == 1 and len(direction.arguments) == 1 and not direction.sequence
    return model.nets[direction.roles[0]] if single else None


def example(model: Published, direction: Direction, count: int, high: int, wide: int) -> tuple[Tensor, ...]:
    """Arguments of a direction: so many, and of so many times the multiple (8 at least) on each side."""
    generator = torch.Generator().manual_seed(count)
    conditions = examples_of(direction, {}, count).values()
    if direction.latent is not None:
        return (*direction.latents(count, generator).values(), *conditions)
    unit = direction.multiple * -(-4 // direction.multiple)
    sides = high * unit, wide * unit
    inputs = (noise_pictures(model.data, name, count, *sides, generator) for name in direction.input_names)
    return (*inputs, *conditions)


def difference(output: Tensor, module: nn.Module, given: Sequence[Tensor]) -> float:
    """The largest difference from what the original module gives; infinite where one is not a number."""
    with torch.inference_mode():
        expected = module(*given)
    if output.shape != expected.shape:
        raise ExportError(f"the exported model gives shape {tuple(output.shape)}; expected {tuple(expected.shape)}")
    worst = (output - expected).abs().max().item()
    return worst if worst == worst else float("inf")


def compared(
    run: Callable[..., Tensor],
    module: nn.Module,
    inputs: Sequence[Sequence[Tensor]],
    tool: str,
    tolerance: float | None,
    *,
    half: bool = False,
) -> float:
    """The largest difference of what ``run``, a tool's run of an exported module, gives for some inputs.

    ``half``: of fp16 numbers, which the module must bear as well. Raises ``ExportError`` for a difference above the
    tolerance, by default ``TOLERANCE`` or ``HALF_TOLERANCE``.
    """
    worst = max(difference(run(*given), module, given) for given in inputs)
    if half:
        worst, tool = max(worst, difference(in_half(module, inputs[-1]), module, inputs[-1])), "half precision"
    most = tolerance or (HALF_TOLERANCE if half else TOLERANCE)
    if math.isinf(worst):
        raise ExportError(f"{tool} gives what is not a finite number; nothing was written")
    if worst > most:
        raise ExportError(f"{tool} differs by {worst:.2g}, more than --tolerance {most:g}; nothing was written")
    return worst


def in_half(module: nn.Module, given: Sequence[Tensor]) -> Tensor:
    """What a module computes in fp16 throughout, as fp32; it stays as it is.

    On a CPU, other tools compute the inner numbers of an fp16 file in fp32. Those that a GPU would round, or that are
    beyond 65,504, show here alone.
    """
    rounded = copy.deepcopy(module).half()
    try:
        with torch.inference_mode():
            output: Tensor = rounded(*(x.half() if x.is_floating_point() else x for x in given))
    except RuntimeError as error:
        raise ExportError(f"this network does not run in half precision ({one_line(error)})") from error
    return output.float()


def need(extra: str, *modules: str) -> None:
    """Raise ``UsageError`` naming the extra where one of its packages is missing."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise UsageError(f"--to {extra} needs {', '.join(missing)}, not installed; pip install 'gantk[{extra}]'")
