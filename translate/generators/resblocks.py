"""WGAN-GP's residual generator."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from translate.errors import UsageError
from translate.layers.resblocks import UpBlock, init_he


class ResidualGenerator(nn.Module):
    """Latents (N, latent) to images (N, channels, size, size) in [-1, 1] (Gulrajani et al., 2017, appendix F).

    A linear layer to 4x4, blocks that double the side, all of ``width`` channels, batch norm, and a 3x3 convolution to
    the image. Raises ``UsageError`` for a ``size`` that is no power of two from 16.
    """

    def __init__(self, channels: int, size: int, *, latent: int = 128, width: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Linear(latent, width * 16), nn.Unflatten(1, (width, 4, 4))),
            *(UpBlock(width, width) for _ in range(doublings(size))),
            *(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, channels, 3, padding=1), nn.Tanh()),
        )
        init_he(self)

    def forward(self, z: Tensor) -> Tensor:
        return cast(Tensor, self.layers(z))


def doublings(size: int) -> int:
    """How often 4 is doubled to give ``size``; ``UsageError`` where it is no power of two from 16."""
    if size < 16 or size & (size - 1):
        raise UsageError(f"--size {size}: residual blocks need a power of two from 16 (16, 32, 64, ...)")
    return size.bit_length() - 3
