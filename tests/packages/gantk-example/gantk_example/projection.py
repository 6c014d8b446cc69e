"""From a generator's features to patches that can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn
from torch.nn.functional import normalize
from translate.layers.init import init_normal

from gantk_example.patchnce import wide


class Projection(nn.Module):
    """The two-layer MLP of each feature layer (Park et al., 2020, section 3.2), its channels known from the start.

    ``forward``: for each layer, features (N, C, H, W) and places (N, P) -> unit vectors (N, P, width).
    """

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(count, width), nn.ReLU(), nn.Linear(width, width)) for count in channels
        )
        init_normal(self)

    def forward(self, features: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
        return [self._head(i, layer, at) for i, (layer, at) in enumerate(zip(features, places, strict=True))]

    def _head(self, index: int, layer: Tensor, places: Tensor) -> Tensor:
        flat = layer.flatten(2).transpose(1, 2)
        patches = flat.gather(1, places[:, :, None].expand(-1, -1, flat.shape[2]))
        return normalize(wide(cast(Tensor, self.heads[index](patches))), dim=2)


def places_in(layer: Tensor, draw: Tensor) -> Tensor:
    """Uniform draws in [-1, 1), (N, P), as indices of pixels of a layer (N, C, H, W)."""
    count = layer.shape[2] * layer.shape[3]
    return ((draw.float() + 1) / 2 * count).long().clamp_(0, count - 1)
