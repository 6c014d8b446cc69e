"""The residual generator of CycleGAN."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

from torch import Tensor, nn

from translate.layers.init import init_normal
from translate.layers.norms import Norm, has_bias, norm_layer
from translate.layers.reflected import ReflectedConv
from translate.layers.resample import BlurDownsample, Downsample, Upsample, upsample_by_two

HALVINGS = 2


class ResnetBlock(nn.Module):
    """Two 3x3 convolutions around which the input passes: (N, C, H, W) -> same shape."""

    def __init__(self, channels: int, norm: Norm, dropout: float) -> None:
        super().__init__()
        self.conv1 = ReflectedConv(channels, channels, 3, bias=has_bias(norm))
        self.norm1 = norm_layer(norm, channels)
        self.act = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.conv2 = ReflectedConv(channels, channels, 3, bias=has_bias(norm))
        self.norm2 = norm_layer(norm, channels)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.dropout(self.act(self.norm1(self.conv1(x))))
        return x + cast(Tensor, self.norm2(self.conv2(hidden)))


class ResnetGenerator(nn.Module):
    """Image to image (Johnson et al., 2016; CycleGAN appendix 7.2): (N, channels_in, H, W) -> (N, channels_out, H, W).

    Values in [-1, 1] on both sides; H and W multiples of 4, 8 or more. ``c7s1-64, d128, d256``, ``blocks`` residual
    blocks, ``u128, u64, c7s1``; ``base`` is the 64. ``dropout``: share left out within each block. ``upsample`` and
    ``downsample``: how the side changes; CUT's generator has "blur" for both. ``halvings``: how often the side is
    halved before the blocks, and the width doubled; pix2pixHD's has 4. H and W are multiples of 2^halvings then.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        base: int = 64,
        blocks: int = 9,
        norm: Norm = "instance",
        dropout: float = 0.0,
        upsample: Upsample = "deconv",
        downsample: Downsample = "stride",
        halvings: int = HALVINGS,
    ) -> None:
        super().__init__()
        stride = 2 if downsample == "stride" else 1
        bias = has_bias(norm)
        widths = [base << depth for depth in range(halvings + 1)]
        self.stem = nn.Sequential(
            ReflectedConv(channels_in, base, 7, bias=bias),
            norm_layer(norm, base),
            nn.ReLU(inplace=True),
        )
        self.down = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(fine, coarse, 3, stride=stride, padding=1, bias=bias),
                    norm_layer(norm, coarse),
                    nn.ReLU(inplace=True),
                    *([BlurDownsample(coarse)] if downsample == "blur" else []),
                )
                for fine, coarse in pairwise(widths)
            )
        )
        self.blocks = nn.Sequential(*(ResnetBlock(widths[-1], norm, dropout) for _ in range(blocks)))
        self.up = nn.Sequential(
            *(
                nn.Sequential(
                    upsample_by_two(upsample, coarse, fine, bias=bias),
                    norm_layer(norm, fine),
                    nn.ReLU(inplace=True),
                )
                for coarse, fine in pairwise(reversed(widths))
            )
        )
        self.head = nn.Sequential(ReflectedConv(base, channels_out, 7), nn.Tanh())
        init_normal(self)

    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.trunk(image)))

    def trunk(self, image: Tensor) -> Tensor:
        """What the head makes the picture of: (N, ``base``, H, W)."""
        return cast(Tensor, self.up(self.blocks(self.down(self.stem(image)))))


def resnet_margin(
    blocks: int, upsample: Upsample = "deconv", downsample: Downsample = "stride", halvings: int = HALVINGS
) -> int:
    """How many input pixels around a pixel a ``ResnetGenerator``'s output depends on, apart from norm statistics.

    Follows one output pixel's interval of inputs from the head back to the stem; the pixel's place within the coarse
    grid matters, so the widest of all is taken.
    """
    widest = 0
    for pixel in range(2**halvings):
        low, high = trunk_reach(pixel - 3, pixel + 3, blocks, upsample, downsample, halvings)
        widest = max(widest, pixel - low, high - pixel)
    return widest


def trunk_reach(
    low: int,
    high: int,
    blocks: int,
    upsample: Upsample = "deconv",
    downsample: Downsample = "stride",
    halvings: int = HALVINGS,
) -> tuple[int, int]:
    """The first and last input pixel on which those of ``ResnetGenerator.trunk`` from ``low`` to ``high`` depend."""
    for _ in range(halvings):
        match upsample:
            case "deconv":
                low, high = low // 2, -(-high // 2)
            case "resize":
                low, high = (low - 1) // 2, (high + 1) // 2
            case "blur":
                low, high = low // 2 - 1, (high + 2) // 2
    low, high = low - 2 * blocks, high + 2 * blocks
    for _ in range(halvings):
        reach = 1 if downsample == "stride" else 2
        low, high = 2 * low - reach, 2 * high + reach
    return low - 3, high + 3  # stem
