"""The generator of StarGAN: the target domain as planes beside the picture."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from translate.layers.norms import InstanceNorm

HALVINGS = 2


class AffineInstanceNorm(nn.Module):
    """Instance norm followed by a learnt scale and shift for each channel: (N, C, H, W) -> same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.normalise = InstanceNorm()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.bias[:, None, None], cast(Tensor, self.normalise(x)), self.weight[:, None, None])


class DomainGenerator(nn.Module):
    """Picture and target domain to picture (Choi et al., 2018, appendix 7.2).

    Pictures (N, channels, H, W) in [-1, 1] and codes (N, codes), one number for each domain or attribute, ->
    (N, channels, H, W) in [-1, 1]. H and W are multiples of 4. Convolutions of 7, 4 and 4 pixels, ``blocks`` residual
    blocks, two transposed convolutions and one of 7; zeros beyond the edge; torch's own initial weights.
    """

    def __init__(self, channels: int, codes: int, width: int = 64, blocks: int = 6) -> None:
        super().__init__()
        widths = [width << depth for depth in range(HALVINGS + 1)]
        layers: list[nn.Module] = [_layer(nn.Conv2d(channels + codes, width, 7, padding=3, bias=False))]
        layers += [_layer(nn.Conv2d(a, b, 4, stride=2, padding=1, bias=False)) for a, b in pairwise(widths)]
        layers += [_Block(widths[-1]) for _ in range(blocks)]
        layers += [
            _layer(nn.ConvTranspose2d(a, b, 4, stride=2, padding=1, bias=False)) for a, b in pairwise(widths[::-1])
        ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, channels, 7, padding=3, bias=False), nn.Tanh())

    def forward(self, image: Tensor, code: Tensor) -> Tensor:
        planes = code.to(image.dtype)[:, :, None, None].expand(-1, -1, *image.shape[2:])
        return cast(Tensor, self.layers(torch.cat([image, planes], 1)))


class _Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second = (nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2))
        self.layers = nn.Sequential(_layer(first), second, AffineInstanceNorm(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + cast(Tensor, self.layers(x))


def _layer(conv: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    return nn.Sequential(conv, AffineInstanceNorm(conv.out_channels), nn.ReLU(inplace=True))


def domain_generator_margin(blocks: int) -> int:
    """How many input pixels around a pixel a ``DomainGenerator``'s output depends on, apart from norm statistics."""
    widest = 0
    for pixel in range(2**HALVINGS):  # its place within the coarse grid matters
        low, high = pixel - 3, pixel + 3
        for _ in range(HALVINGS):
            low, high = (low - 1) // 2, (high + 1) // 2
        low, high = low - 2 * blocks, high + 2 * blocks
        for _ in range(HALVINGS):
            low, high = 2 * low - 1, 2 * high + 2
        widest = max(widest, pixel - (low - 3), high + 3 - pixel)
    return widest
