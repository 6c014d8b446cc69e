"""Layers with equalised learning rate (Karras et al., 2018, section 4.1).

Weights start at N(0, 1) and are scaled at run time, so that an adaptive optimizer moves all of them at one speed.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.2
"""Negative slope of the rectifiers."""


class EqualLinear(nn.Module):
    """A linear map, (N, inputs) -> (N, outputs). ``rate`` multiplies its learning rate."""

    def __init__(self, inputs: int, outputs: int, *, bias: float = 0.0, rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / rate))
        self.scale, self.rate = rate / math.sqrt(inputs), rate

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.rate)


class EqualConv2d(nn.Module):
    """A convolution that keeps the size, (N, inputs, H, W) -> (N, outputs, H, W); ``halve``: of a stride of two, on
    features whose filter has added what it pads."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, bias: bool = True, halve: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale = 1 / math.sqrt(inputs * kernel * kernel)
        self.stride, self.padding = (2, 0) if halve else (1, kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, self.stride, self.padding)


class PixelNorm(nn.Module):
    """Each pixel's (or latent's) channels scaled to a mean square of 1 (Karras et al., 2018, section 4.2)."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


def rectified(x: Tensor) -> Tensor:
    """Leaky ReLU that keeps the variance."""
    return F.leaky_relu(x, SLOPE) * math.sqrt(2)
