"""Fully connected layers: stacks of them, and maxout units."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn


class Maxout(nn.Module):
    """The largest of ``pieces`` linear maps, for each unit (Goodfellow et al., 2013): (N, before) -> (N, units)."""

    def __init__(self, before: int, units: int, pieces: int = 5) -> None:
        super().__init__()
        self.linear = nn.Linear(before, units * pieces)
        self.units = units

    def forward(self, x: Tensor) -> Tensor:
        pieces: Tensor = self.linear(x).unflatten(1, (self.units, -1))
        return pieces.amax(dim=2)


def rectified(before: int, widths: Sequence[int], rectifier: Callable[[], nn.Module]) -> list[nn.Module]:
    """Linear layers of these widths, each with a rectifier behind it."""
    layers: list[nn.Module] = []
    for last, width in zip((before, *widths), widths, strict=False):
        layers += [nn.Linear(last, width), rectifier()]
    return layers
