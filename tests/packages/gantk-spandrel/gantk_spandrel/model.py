"""A network that spandrel makes from the shapes of its tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from spandrel import MAIN_REGISTRY, ImageModelDescriptor
from torch import Tensor, nn
from torch.nn.functional import l1_loss
from translate import Batch, DataSpec, Direction, Nets, Networks, Phase, Run, TaskModel, Terms, UsageError
from translate.data.lowhigh import LowHigh
from translate.layers.init import init_normal


class UnitNet(nn.Module):
    """A network for pictures in 0 to 1, given and giving them in [-1, 1]: (N, C, H, W) -> (N, C, H s, W s)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, low: Tensor) -> Tensor:
        high: Tensor = self.net((low + 1) / 2)
        return high * 2 - 1

    def spandrel_state(self) -> dict[str, Tensor]:
        """Its tensors by their public names."""
        return dict(self.net.state_dict())


@dataclass(frozen=True, kw_only=True)
class Spandrel(TaskModel):
    """A super-resolution network that spandrel knows; `gantk import` makes its model file."""

    api = 2
    source = LowHigh
    recipe = Run(steps=10_000, batch=16, size=64)

    architecture: Annotated[str, "spandrel's name of the architecture"] = ""
    shapes: Annotated[tuple[str, ...], "its tensors, as name=64x3x3x3"] = ()

    def networks(self, data: DataSpec) -> Networks:
        described = self.described()
        if described.scale != data.scale:
            raise UsageError(f"--scale {data.scale}: this network enlarges {described.scale} times")
        return {"g": lambda: init_normal(UnitNet(self.described().model))}

    def described(self) -> ImageModelDescriptor[Any]:
        """The network with weights of zero. Raises ``UsageError`` where spandrel does not make one of these tensors."""
        if not self.architecture:
            raise UsageError("spandrel's networks are imported, not trained: expected gantk import FILE -o MODEL")
        return describe(self.architecture, {name: torch.zeros(shape) for name, shape in map(_shape, self.shapes)})

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        return [Phase("fit", ("g",), self.fit)]

    def fit(self, nets: Nets, x: Batch) -> Terms:
        """The mean absolute error, on values from 0 to 1."""
        return {"l1": l1_loss(nets.g(x.low), x.high) / 2}

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        multiple = self.described().size_requirements.multiple_of or 1
        return [
            Direction(
                "upscale", "low", "high", ("g",), lambda nets, x: nets.g(x.low), multiple, data.scale, margin=None
            )
        ]


def describe(architecture: str, state: dict[str, Tensor]) -> ImageModelDescriptor[Any]:
    """What spandrel makes of a state. Raises ``UsageError`` where it is no network of one picture."""
    known = {str(support.architecture.id): support.architecture for support in MAIN_REGISTRY.architectures("detection")}
    if architecture not in known:
        raise UsageError(f"architecture {architecture}: spandrel knows none of that name; expected a newer spandrel")
    try:
        described = known[architecture].load(state)
    except (ValueError, KeyError, RuntimeError, IndexError, AssertionError, TypeError) as error:
        raise UsageError(f"architecture {architecture}: spandrel makes no network of these tensors") from error
    if not isinstance(described, ImageModelDescriptor):
        raise UsageError(f"architecture {architecture}: takes more than a picture")
    return described


def _shape(text: str) -> tuple[str, list[int]]:
    name, _, sides = text.rpartition("=")
    return name, [int(side) for side in sides.split("x") if side]
