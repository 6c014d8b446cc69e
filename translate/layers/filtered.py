"""StyleGAN2's residual block, as its code has it (Karras et al., 2020, figure 7)."""

from __future__ import annotations

import math

from torch import Tensor, nn

from translate.layers.equalized import EqualConv2d, rectified
from translate.layers.fir import blurred, down_by_two


class FilteredBlock(nn.Module):
    """Two convolutions beside a shortcut: (N, inputs, H, W) -> (N, outputs, H, W), or with ``halve`` half the sides.

    Filters come before what halves: in the shortcut a 1x1 convolution of what it keeps, else a convolution with a
    stride. A block that neither halves nor changes the channels has its input as shortcut.
    """

    def __init__(self, inputs: int, outputs: int, *, halve: bool) -> None:
        super().__init__()
        self.first = EqualConv2d(inputs, inputs, 3)
        self.second = EqualConv2d(inputs, outputs, 3, halve=halve)
        self.shortcut = EqualConv2d(inputs, outputs, 1, bias=False) if halve or inputs != outputs else None
        self.halve = halve

    def forward(self, x: Tensor) -> Tensor:
        deep = rectified(self.first(x))
        deep = rectified(self.second(blurred(deep) if self.halve else deep))
        short = down_by_two(x) if self.halve else x
        if self.shortcut is not None:
            short = self.shortcut(short)
        return (deep + short) / math.sqrt(2)
