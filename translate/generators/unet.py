"""The U-Net generator of pix2pix (Isola et al., 2017, section 3.2.1 and appendix 6.1.1)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from translate.layers.init import init_normal
from translate.layers.norms import Norm, has_bias, norm_layer

DEEPEST = 8
"""Halvings of the paper's network, which brings its 256 pixels down to one."""
DropoutAt = Literal["torch", "pytorch"]
"""Which decoder blocks have dropout, by the authors' two codes; see ``UnetGenerator``."""


class UnetGenerator(nn.Module):
    """Encoder and decoder with skip connections: (N, C, H, W) -> (N, ``out_channels``, H, W) in [-1, 1].

    ``depth`` strided 4x4 convolutions halve the image (leaky ReLU 0.2), as many transposed ones double it again (ReLU),
    so H and W must be multiples of 2 ** depth. Channels: ``width`` x 1, 2, 4, 8, 8, ... ``up.i`` undoes ``down.i``, and
    takes what ``down.i`` gave concatenated with what ``up.(i + 1)`` gave. The innermost convolution has no norm: at 1x1
    an instance has no variance, and its activations would all be zero (see the paper's errata). The first one and the
    output have none either.

    ``dropout`` is applied to the first three decoder blocks (``dropout_at`` "torch", as in the paper), or to all whose
    input and output are of the greatest width but the innermost ("pytorch"). It holds no layer index, so weights fit
    with and without it.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        depth: int = DEEPEST,
        width: int = 64,
        norm: Norm = "batch",
        dropout: float = 0.5,
        dropout_at: DropoutAt = "torch",
    ) -> None:
        super().__init__()
        if depth < 2:
            raise ValueError(f"a U-Net needs a depth of 2 or more, not {depth}")
        self.dropout = nn.Dropout(dropout)
        self.dropped = range(depth - 3, depth) if dropout_at == "torch" else range(4, depth - 1)
        bias = has_bias(norm)
        inner = [width * min(8, 2**level) for level in range(depth)]
        outer = [in_channels, *inner[:-1]]
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        for level in range(depth):
            outermost, innermost = level == 0, level == depth - 1
            down: list[nn.Module] = [nn.Conv2d(outer[level], inner[level], 4, 2, 1, bias=bias)]
            if not outermost:
                down.insert(0, nn.LeakyReLU(0.2))
            if not (outermost or innermost):
                down.append(norm_layer(norm, inner[level]))
            self.down.append(nn.Sequential(*down))
            channels = inner[level] * (1 if innermost else 2)
            if outermost:
                up = [nn.ReLU(inplace=True), nn.ConvTranspose2d(channels, out_channels, 4, 2, 1), nn.Tanh()]
            else:
                transposed = nn.ConvTranspose2d(channels, outer[level], 4, 2, 1, bias=bias)
                up = [nn.ReLU(inplace=True), transposed, norm_layer(norm, outer[level])]
            self.up.append(nn.Sequential(*up))
        init_normal(self)

    def forward(self, image: Tensor) -> Tensor:
        skips: list[Tensor] = []
        y = image
        for down in self.down:
            y = down(y)
            skips.append(y)
        depth = len(self.up)
        y = skips.pop()
        for level in range(depth - 1, 0, -1):
            y = self.up[level](y)
            if level in self.dropped:
                y = self.dropout(y)
            y = torch.cat([skips.pop(), y], 1)
        output: Tensor = self.up[0](y)
        return output


def unet_depth(size: int) -> int:
    """How often an image side of ``size`` pixels can be halved, at most 8 times: the depth of its U-Net."""
    depth = 0
    while depth < DEEPEST and size % 2 ** (depth + 1) == 0:
        depth += 1
    return depth


def unet_margin(depth: int) -> int:
    """How many pixels away from an output pixel the input still matters, statistics of the norms apart.

    The longest path runs through the innermost layer, where one output pixel stands on two neighbours and each of those
    on about three times its stride.
    """
    farthest = 0
    for pixel in range(2**depth):
        low = high = pixel
        for _ in range(
            depth
        ):  # a transposed 4x4 convolution: output o comes from the inputs i with 0 <= o + 1 - 2i < 4
            low, high = -((2 - low) // 2), (high + 1) // 2
        for _ in range(depth):  # a 4x4 convolution: output o comes from the inputs 2o - 1 to 2o + 2
            low, high = 2 * low - 1, 2 * high + 2
        farthest = max(farthest, pixel - low, high - pixel)
    return farthest
