"""The UNet-ViT generator of UVCGAN (Torbunov et al., 2022, section 3.1): a U-Net with a transformer at its bottom."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.layers.init import init_normal

HALVINGS = 4
EMBEDDED = 8
"""Channels of the first layer times this are the transformer's width: 384 for the paper's 48."""
HEAD_WIDTH = 64


class Attention(nn.Module):
    """Self-attention of all tokens to all (Vaswani et al., 2017): (N, tokens, width) -> same shape."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inputs = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        split = self.inputs(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        found = F.scaled_dot_product_attention(split[0], split[1], split[2])
        return cast(Tensor, self.output(found.transpose(1, 2).flatten(2)))


class TransformerBlock(nn.Module):
    """Attention and a perceptron of four times the width, each behind a layer norm: (N, tokens, width) -> same shape.

    What they add is weighted by one number that starts at 0 (ReZero; Bachlechner et al., 2020).
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.alpha = nn.Parameter(torch.zeros(()))

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.alpha * self.attention(self.norm1(tokens))
        return tokens + self.alpha * cast(Tensor, self.perceptron(self.norm2(tokens)))


class PixelTransformer(nn.Module):
    """A transformer whose tokens are the pixels of a feature map: (N, C, H, W) -> same shape, for any H and W.

    Sines of a learnt projection of its coordinates in [-1, 1] tell each token where it is (Anokhin et al., 2021).
    """

    def __init__(self, channels: int, width: int, heads: int, blocks: int) -> None:
        super().__init__()
        self.place = nn.Linear(2, width)
        self.inputs = nn.Linear(width + channels, width)
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads) for _ in range(blocks)))
        self.output = nn.Linear(width, channels)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        place = torch.sin(self.place(_coordinates(x))).expand(x.shape[0], -1, -1)
        tokens = self.blocks(self.inputs(torch.cat([place, tokens], 2)))
        return cast(Tensor, self.output(tokens).transpose(1, 2).unflatten(2, x.shape[2:]))


class UnetVitGenerator(nn.Module):
    """Image to image: (N, channels_in, H, W) -> (N, channels_out, H, W), values in [-1, 1] on both sides.

    H and W are multiples of 16. Four levels of ``width`` x 1, 2, 4 and 8 channels, each two 3x3 convolutions behind
    instance norms; strided 2x2 convolutions lead down, nearest-neighbour upsampling and a 3x3 convolution up. At the
    bottom, ``blocks`` transformer blocks of ``width`` x 8. The authors' output is a sigmoid for images in [0, 1]; ours
    is the same function for [-1, 1], a tanh.
    """

    def __init__(self, channels_in: int, channels_out: int, width: int = 48, blocks: int = 12) -> None:
        super().__init__()
        widths = [width, *(width << level for level in range(HALVINGS))]
        inner = EMBEDDED * width
        self.stem = nn.Sequential(nn.Conv2d(channels_in, width, 3, padding=1), nn.LeakyReLU(0.01))
        self.down = nn.ModuleList(_two_convolutions(fine, coarse, coarse) for fine, coarse in pairwise(widths))
        self.shrink = nn.ModuleList(nn.Conv2d(channels, channels, 2, stride=2) for channels in widths[1:])
        self.transformer = PixelTransformer(widths[-1], inner, max(1, inner // HEAD_WIDTH), blocks)
        self.enlarge = nn.ModuleList(
            nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(channels, channels, 3, padding=1))
            for channels in widths[1:]
        )
        self.up = nn.ModuleList(_two_convolutions(2 * coarse, coarse, fine) for fine, coarse in pairwise(widths))
        self.head = nn.Sequential(nn.Conv2d(width, channels_out, 1), nn.Tanh())
        init_normal(self)

    def forward(self, image: Tensor) -> Tensor:
        y = self.stem(image)
        skips: list[Tensor] = []
        for down, shrink in zip(self.down, self.shrink, strict=True):
            skips.append(down(y))
            y = shrink(skips[-1])
        y = self.transformer(y)
        for up, enlarge in zip(reversed(self.up), reversed(self.enlarge), strict=True):
            y = up(torch.cat([enlarge(y), skips.pop()], 1))
        return cast(Tensor, self.head(y))


def _two_convolutions(channels_in: int, between: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.InstanceNorm2d(channels_in),
        nn.Conv2d(channels_in, between, 3, padding=1),
        nn.LeakyReLU(0.01),
        nn.InstanceNorm2d(between),
        nn.Conv2d(between, channels_out, 3, padding=1),
        nn.LeakyReLU(0.01),
    )


def _coordinates(x: Tensor) -> Tensor:
    """Where the pixels of (N, C, H, W) are, row by row: (1, H x W, 2), across and down, from -1 to 1."""
    down = torch.linspace(-1, 1, x.shape[2], dtype=x.dtype, device=x.device)
    across = torch.linspace(-1, 1, x.shape[3], dtype=x.dtype, device=x.device)
    grid = torch.stack(torch.meshgrid(down, across, indexing="ij")[::-1], 2)
    return grid.flatten(0, 1)[None]
