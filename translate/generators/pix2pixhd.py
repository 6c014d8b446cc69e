"""The local enhancer of pix2pixHD, which refines a coarse generator's features at twice the side."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.generators.resnet import ResnetBlock, trunk_reach
from translate.layers.init import init_normal
from translate.layers.norms import Norm, has_bias, norm_layer
from translate.layers.reflected import ReflectedConv


class LocalEnhancer(nn.Module):
    """G2 of Wang et al. (2018), section 3.1: (N, channels_in, H, W) and the trunk's features (N, 2 * width, H / 2,
    W / 2) -> (N, channels_out, H, W) in [-1, 1].

    ``c7s1-32, d64``, the sum with the features, ``blocks`` residual blocks, ``u32, c7s1-3``; ``width`` is the 32.
    ``trained``: a buffer, 0 until the enhancer takes part: what ``chosen`` gives follows it.
    """

    def __init__(
        self, channels_in: int, channels_out: int, width: int = 32, blocks: int = 3, norm: Norm = "instance"
    ) -> None:
        super().__init__()
        bias, wide = has_bias(norm), 2 * width
        self.down = nn.Sequential(
            ReflectedConv(channels_in, width, 7, bias=bias),
            norm_layer(norm, width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, wide, 3, stride=2, padding=1, bias=bias),
            norm_layer(norm, wide),
            nn.ReLU(inplace=True),
        )
        self.up = nn.Sequential(
            *(ResnetBlock(wide, norm, 0.0) for _ in range(blocks)),
            nn.ConvTranspose2d(wide, width, 3, stride=2, padding=1, output_padding=1, bias=bias),
            norm_layer(norm, width),
            nn.ReLU(inplace=True),
            ReflectedConv(width, channels_out, 7),
            nn.Tanh(),
        )
        self.trained: Tensor
        self.register_buffer("trained", torch.zeros(()))
        init_normal(self)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        return cast(Tensor, self.up(self.down(x) + features))

    def chosen(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """The enhanced picture once the enhancer takes part, before that the coarse one at twice its side."""
        larger = F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
        return torch.where(self.trained > 0, fine, larger)


def enhanced_margin(halvings: int, blocks: int, local_blocks: int) -> int:
    """How many input pixels around a pixel an enhanced picture depends on, apart from norm statistics."""
    widest = 0
    for pixel in range(2 ** (halvings + 1)):
        low, high = (pixel - 3) // 2, -(-(pixel + 3) // 2)  # head, and the convolution that doubles
        low, high = low - 2 * local_blocks, high + 2 * local_blocks
        own = 2 * low - 1 - 3, 2 * high + 1 + 3
        # The coarse picture, before the enhancer takes part, needs less: two pixels instead of the blocks, and a head.
        first, last = trunk_reach(min(low, pixel // 2 - 4), max(high, pixel // 2 + 4), blocks, halvings=halvings)
        halved = 2 * first - 1, 2 * last + 1
        widest = max(widest, pixel - min(own[0], halved[0]), max(own[1], halved[1]) - pixel)
    return widest
