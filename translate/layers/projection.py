"""From the features of a generator to patches that can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from translate.layers.init import init_normal


class Projection(nn.Module):
    """A two-layer MLP for each feature layer (Park et al., 2020, section 3.2), of known ``channels`` each.

    For each layer, features (N, C, H, W) and places (N, P) -> vectors (N, P, width).
    """

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(count, width), nn.ReLU(), nn.Linear(width, width)) for count in channels
        )
        init_normal(self)

    def forward(self, features: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
        return [
            cast(Tensor, head(_patches(layer, at)))
            for head, layer, at in zip(self.heads, features, places, strict=True)
        ]


def _patches(layer: Tensor, places: Tensor) -> Tensor:
    flat = layer.flatten(2).transpose(1, 2)
    return flat.gather(1, places[:, :, None].expand(-1, -1, flat.shape[2]))


def places_in(layer: Tensor, draw: Tensor) -> Tensor:
    """Uniform draws in [-1, 1), (N, P), as indices of pixels of a layer (N, C, H, W)."""
    count = layer.shape[2] * layer.shape[3]
    return ((draw.float() + 1) / 2 * count).long().clamp_(0, count - 1)
