"""Small published models for the tests of inference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from translate.contract import Batch, DataSpec, Direction, Nets, Networks, Phase, Source, TaskModel
from translate.modelfile.card import Card
from translate.modelfile.model import Published


@dataclass(frozen=True, kw_only=True)
class Fake(TaskModel):
    """A task model that is only ever applied."""

    source = Source

    def networks(self, data: DataSpec) -> Networks:
        return {}

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        return []

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        return []


def publish(
    network: nn.Module,
    *,
    channels: tuple[int, int] = (3, 3),
    multiple: int = 1,
    scale: int = 1,
    margin: int | None = 0,
    run: Callable[[Nets, Batch], Tensor] | None = None,
    indexed: tuple[str, ...] = (),
) -> Published:
    """A published model of one direction, a2b, that applies ``network``."""
    direction = Direction(
        "a2b",
        "a",
        "b",
        ("g",),
        run or (lambda nets, x: nets.g(x.a)),
        multiple=multiple,
        scale=scale,
        margin=margin,
    )
    data = DataSpec(64, {"a": channels[0], "b": channels[1]}, scale=scale, indexed=indexed)
    card = Card(plugin="fake", distribution="gantk", version="0", model={}, data=data, directions=())
    nets = Nets({"g": network.eval().requires_grad_(False)})
    return Published(Path("fake.safetensors"), card, Fake(), nets, (direction,))
