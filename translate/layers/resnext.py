"""Residual blocks of grouped convolutions without normalisation (Huang et al., 2024, section 4 and appendix)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.2
"""Negative slope of the rectifiers."""
GAIN = math.sqrt(2 / (1 + SLOPE**2))
"""What keeps the variance through a rectifier (He et al., 2015)."""
WHOLE = 32
"""The largest side with all channels; each doubling beyond it halves them."""


def widths(sides: list[int], width: int) -> list[int]:
    """Channels of the features of each side: ``width`` up to 32 pixels, then fewer, as for the paper's 256 pixels."""
    return [max(1, width * WHOLE // max(side, WHOLE)) for side in sides]


def scaled(layer: nn.Conv2d | nn.Linear, gain: float = 1.0) -> nn.Conv2d | nn.Linear:
    """The layer with weights from N(0, gain^2 / inputs of an output), in place; from torch's default generator."""
    nn.init.normal_(layer.weight, std=gain / math.sqrt(layer.weight[0].numel()))
    return layer


def pointwise(inputs: int, outputs: int, gain: float = 1.0) -> nn.Module:
    """A 1x1 convolution without bias."""
    return scaled(nn.Conv2d(inputs, outputs, 1, bias=False), gain)


class BiasedRectifier(nn.Module):
    """A bias, then leaky ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x + self.bias[:, None, None], SLOPE)


class GroupedBlock(nn.Module):
    """x plus an inverted bottleneck of it, (N, C, H, W) -> (N, C, H, W): 1x1, grouped 3x3 and 1x1 convolutions.

    ``blocks``: how many the whole network has. As in Fixup (Zhang et al., 2019) the last convolution starts at 0 and
    the others shrink by ``blocks ** -1/4``, so that depth does not make variances grow. ``expansion``: channels inside
    per channel outside. ``group``: channels of a group of the 3x3 convolution, less where it does not divide them.
    """

    def __init__(self, channels: int, *, blocks: int, expansion: int, group: int) -> None:
        super().__init__()
        inside, gain = channels * expansion, GAIN * blocks**-0.25
        groups = inside // math.gcd(inside, group)
        self.layers = nn.Sequential(
            pointwise(channels, inside, gain),
            BiasedRectifier(inside),
            scaled(nn.Conv2d(inside, inside, 3, padding=1, groups=groups, bias=False), gain),
            BiasedRectifier(inside),
            pointwise(inside, channels, 0.0),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.layers(x)
        return y
