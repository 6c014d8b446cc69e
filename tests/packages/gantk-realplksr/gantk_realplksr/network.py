"""The network: a few large kernels on some of the channels (Lee et al., 2024, arXiv 2404.11848)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GROUPS = 4
"""Of the norm at the end of a block."""
SHARE = 4
"""One channel in so many goes through the large kernel."""


class LargeKernel(nn.Module):
    """A large convolution of the first quarter of the channels; the others pass. (N, C, H, W) -> the same shape."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        part = width // SHARE
        self.conv = nn.Conv2d(part, part, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        part = self.conv.in_channels
        return torch.cat([self.conv(x[:, :part]), x[:, part:]], 1)


class Attention(nn.Module):
    """Each value times a sigmoid of its surroundings. (N, C, H, W) -> the same shape."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.f = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return x * cast(Tensor, self.f(x))


class Block(nn.Module):
    """Mixer of channels, large kernel, attention, refinement and group norm, added to the input."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.channel_mixer = nn.Sequential(
            nn.Conv2d(width, 2 * width, 3, padding=1), nn.Mish(), nn.Conv2d(2 * width, width, 3, padding=1)
        )
        self.lk = LargeKernel(width, kernel)
        self.attn = Attention(width)
        self.refine = nn.Conv2d(width, width, 1)
        self.norm = nn.GroupNorm(GROUPS, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + cast(Tensor, self.norm(self.refine(self.attn(self.lk(self.channel_mixer(x))))))


class RealPLKSRNet(nn.Module):
    """Detail added to the nearest-neighbour enlargement: (N, 3, H, W) in [-1, 1] -> (N, 3, H * scale, W * scale).

    Inside, pictures are in [0, 1], and modules have the names by which spandrel knows this network.
    """

    def __init__(self, scale: int, *, width: int = 64, blocks: int = 28, kernel: int = 17) -> None:
        super().__init__()
        self.scale = scale
        self.feats = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1),
            *(Block(width, kernel) for _ in range(blocks)),
            nn.Identity(),  # the place of the dropout that some train with
            nn.Conv2d(width, 3 * scale**2, 3, padding=1),
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.trunc_normal_(layer.weight, std=0.02)

    def forward(self, low: Tensor) -> Tensor:
        unit = (low + 1) / 2
        detail = F.pixel_shuffle(cast(Tensor, self.feats(unit)), self.scale)
        return (detail + F.interpolate(unit, scale_factor=float(self.scale), mode="nearest")) * 2 - 1

    def spandrel_state(self) -> dict[str, Tensor]:
        """The tensors by spandrel's names, which are ours: ``gantk export --to spandrel`` asks for it."""
        return dict(self.state_dict())


def margin(blocks: int, kernel: int) -> int:
    """How many input pixels around a pixel the output depends on, statistics of the norms apart."""
    return 1 + blocks * (2 + kernel // 2 + 1) + 1
