"""WGAN-GP's residual critic."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from translate.generators.resblocks import doublings
from translate.layers.resblocks import DownBlock, init_he


class ResidualCritic(nn.Module):
    """(N, channels, size, size) -> scores (N,), without any norm (Gulrajani et al., 2017, appendix F).

    Blocks of ``width`` channels halve the picture to 8x8, two more keep the side; rectified and averaged over the map,
    a linear layer gives the score. Raises ``UsageError`` for a ``size`` that is no power of two from 16.
    """

    def __init__(self, channels: int, size: int, *, width: int = 128) -> None:
        super().__init__()
        halvings = doublings(size) - 1
        self.layers = nn.Sequential(
            *(DownBlock(width if depth else channels, width, first=not depth) for depth in range(halvings)),
            *(DownBlock(width, width, halve=False), DownBlock(width, width, halve=False)),
            *(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 1)),
        )
        init_he(self)

    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.layers(image).flatten())
