"""Layers that halve or double the side of a feature map."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.layers.reflected import ReflectedConv

Upsample = Literal["deconv", "resize", "blur"]
"""``deconv``: transposed convolution, the papers' own. ``resize``: nearest neighbours and a 3x3 convolution, which
leaves no checkerboard (Odena et al., 2016). ``blur``: interpolation by a binomial filter and a 3x3 convolution, as in
CUT."""

Downsample = Literal["stride", "blur"]
"""``stride``: strided convolution, the papers' own. ``blur``: a 3x3 convolution whose rectified output is low-passed
before every second pixel is dropped (Zhang, 2019), as in CUT."""


class BlurDownsample(nn.Module):
    """Every second pixel of what a binomial filter (1 2 1) leaves: (N, C, H, W) -> (N, C, H / 2, W / 2)."""

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("kernel", _binomial((1.0, 2.0, 1.0), channels), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), self.kernel, stride=2, groups=x.shape[1])


class BlurUpsample(nn.Module):
    """Interpolation by a binomial filter (1 3 3 1): (N, C, H, W) -> (N, C, 2H, 2W); the edge is repeated outwards."""

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("kernel", 4 * _binomial((1.0, 3.0, 3.0, 1.0), channels), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        edged = F.pad(x, (1, 1, 1, 1), mode="replicate")
        return F.conv_transpose2d(edged, self.kernel, stride=2, padding=3, groups=x.shape[1])


def upsample_by_two(
    kind: Upsample, channels_in: int, channels_out: int, *, kernel: Literal[3, 4] = 3, bias: bool = True
) -> nn.Module:
    """(N, channels_in, H, W) -> (N, channels_out, 2H, 2W); ``kernel`` is the transposed convolution's."""
    match kind:
        case "deconv":
            # Four taps double the side by themselves; three leave the last row and column to the output padding.
            return nn.ConvTranspose2d(
                channels_in, channels_out, kernel, stride=2, padding=1, output_padding=kernel % 2, bias=bias
            )
        case "resize":
            return nn.Sequential(
                nn.Upsample(scale_factor=2, mode="nearest"),
                ReflectedConv(channels_in, channels_out, 3, bias=bias),
            )
        case "blur":
            return nn.Sequential(
                BlurUpsample(channels_in), nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=bias)
            )


def _binomial(taps: tuple[float, ...], channels: int) -> Tensor:
    """One filter per channel, (channels, 1, taps, taps), that sums to 1."""
    line = torch.tensor(taps)
    plane = torch.outer(line, line)
    return (plane / plane.sum()).repeat(channels, 1, 1, 1)
