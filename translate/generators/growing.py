"""Progressive GAN's generator (Karras et al., 2018, table 2): a network that grows by one side at a time."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.generators.stylegan import channels_at, resolutions
from translate.layers.equalized import EqualConv2d, EqualLinear, PixelNorm, rectified


class Block(nn.Module):
    """Convolutions, each rectified and normalised; ``up`` doubles the side first."""

    def __init__(self, *convs: EqualConv2d, up: bool) -> None:
        super().__init__()
        self.convs, self.norm, self.up = nn.ModuleList(convs), PixelNorm(), up

    def forward(self, x: Tensor) -> Tensor:
        if self.up:
            x = doubled(x)
        for conv in self.convs:
            x = self.norm(rectified(conv(x)))
        return x


class GrowingGenerator(nn.Module):
    """Latents (N, latent), put on the hypersphere, to images (N, channels, side, side).

    ``depth``: how far it has grown, in stages: 2 is the third side, 1.25 a quarter of the third faded in over the
    second. Training gives it, with the number of the largest side that is drawn at all. Without these all images have
    the last side, grown as far as the buffer ``depth`` says, which training keeps up to date: a model from a run that
    was stopped early draws what it has learnt, enlarged.
    """

    depth: Tensor

    def __init__(self, channels: int, size: int, *, latent: int = 512, base: int = 16384, most: int = 512) -> None:
        super().__init__()
        sides = resolutions(size)
        counts = [channels_at(side, base, most) for side in sides]
        self.norm = PixelNorm()
        self.first = EqualLinear(latent, counts[0] * sides[0] ** 2)
        self.blocks = nn.ModuleList([Block(EqualConv2d(counts[0], counts[0], 3), up=False)])
        for before, after in pairwise(counts):
            self.blocks.append(Block(EqualConv2d(before, after, 3), EqualConv2d(after, after, 3), up=True))
        self.shape = counts[0], sides[0], sides[0]
        self.images = nn.ModuleList(EqualConv2d(count, channels, 1) for count in counts)
        self.register_buffer("depth", torch.zeros(()))

    def forward(self, z: Tensor, stage: int | None = None, depth: Tensor | None = None) -> Tensor:
        last = len(self.blocks) - 1 if stage is None else stage
        first = 0 if stage is None else max(0, stage - 1)
        depth = self.depth if depth is None else depth
        x = self.first(self.norm(z)).unflatten(1, self.shape)
        x = self.norm(rectified(x))
        image: Tensor | None = None
        for number in range(last + 1):
            x = self.blocks[number](x)
            if number >= first:
                own = share(depth, number) * self.images[number](x)
                image = own if image is None else doubled(image) + own
        assert image is not None
        return image


def share(depth: Tensor, number: int) -> Tensor:
    """How much a side contributes to a picture, from 0 to 1: the shares of all sides add up to 1."""
    return (1 - (depth - number).abs()).clamp(min=0)


def doubled(x: Tensor) -> Tensor:
    """Each pixel four times: (N, C, H, W) -> (N, C, 2H, 2W)."""
    return F.interpolate(x, scale_factor=2)
