"""SinCUT's generator: an encoder and a decoder of StyleGAN2's blocks (Park et al., 2020)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from translate.generators.stylegan import channels_at, modulated
from translate.layers.equalized import EqualConv2d, rectified
from translate.layers.filtered import FilteredBlock
from translate.layers.fir import up_by_two

BLOCKS = 3
"""Residual blocks at half the side, in the encoder and in the decoder."""


class SinCUTGenerator(nn.Module):
    """(N, channels, H, W) -> (N, channels, H, W) for even sides; without any norm over places, and unbounded.

    ``size``: side of the patches that it learns from, on which its channels depend: 512 * ``width`` shared by the side,
    at most 512.
    """

    def __init__(self, channels: int, size: int, width: int = 10) -> None:
        super().__init__()
        whole, half = (channels_at(side, 512 * width, 512) for side in (size, size // 2))
        self.from_image = EqualConv2d(channels, whole, 1)
        self.down = FilteredBlock(whole, half, halve=True)
        self.encoder = nn.ModuleList(FilteredBlock(half, half, halve=False) for _ in range(BLOCKS))
        self.decoder = nn.Sequential(*(FilteredBlock(half, half, halve=False) for _ in range(BLOCKS)))
        self.up = GrainyUpsample(half, whole)
        self.to_image = EqualConv2d(whole, channels, 1)

    def forward(self, image: Tensor, grain: Tensor | None = None) -> Tensor:
        """``grain``: as for ``decode``."""
        return self.decode(self.encode(image)[-1], grain)

    def encode(self, image: Tensor) -> list[Tensor]:
        """What the blocks of the encoder give: the halving one, then the others."""
        found = [self.down(rectified(self.from_image(image)))]
        for block in self.encoder:
            found.append(block(found[-1]))
        return found

    def decode(self, features: Tensor, grain: Tensor | None = None) -> Tensor:
        """The picture of the encoder's last features; ``grain``: noise (N, 1, H, W) that is added before its last
        convolution, none if None."""
        return rectified(self.to_image(self.up(self.decoder(features), grain)))


class GrainyUpsample(nn.Module):
    """(N, inputs, H, W) -> (N, outputs, 2H, 2W): weights scaled to a norm of 1 for each output, a filter, and noise."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.strength = nn.Parameter(torch.zeros(()))
        self.scale = 1 / math.sqrt(inputs * 9)

    def forward(self, x: Tensor, grain: Tensor | None) -> Tensor:
        x = modulated(up_by_two(x, margin=1), self.weight * self.scale, x.new_ones(1, x.shape[1]))
        if grain is not None:
            x = x + self.strength * grain
        return rectified(x + self.bias[:, None, None])


def sincut_margin() -> int:
    """How many pixels around a pixel its translation depends on: two convolutions of half the side in each block, and
    the filters and convolutions of what halves and doubles."""
    return 2 * 2 * 2 * BLOCKS + 6
