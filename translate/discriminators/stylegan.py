"""StyleGAN2's discriminator: residual, without growing (Karras et al., 2020, figure 7)."""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor, nn

from translate.generators.stylegan import channels_at, resolutions
from translate.layers.equalized import EqualConv2d, EqualLinear, rectified
from translate.layers.fir import down_by_two
from translate.layers.minibatch import with_deviation


class Block(nn.Module):
    """Two convolutions and half the side, beside a filtered shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = EqualConv2d(inputs, inputs, 3)
        self.second = EqualConv2d(inputs, outputs, 3)
        self.shortcut = EqualConv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        deep = rectified(self.second(down_by_two(rectified(self.first(x)))))
        short: Tensor = self.shortcut(down_by_two(x))
        return (deep + short) / math.sqrt(2)


class Verdict(nn.Module):
    """What progressive GAN and its successors end in: (N, inputs, side, side) -> (N, outputs).

    Each ``group`` of images is compared (minibatch standard deviation).
    """

    def __init__(self, inputs: int, side: int, group: int, outputs: int = 1) -> None:
        super().__init__()
        self.group = group
        self.last = EqualConv2d(inputs + 1, inputs, 3)
        self.hidden = EqualLinear(inputs * side**2, inputs)
        self.score = EqualLinear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = rectified(self.last(with_deviation(x, self.group)))
        score: Tensor = self.score(rectified(self.hidden(x.flatten(1))))
        return score


class StyleGANDiscriminator(nn.Module):
    """(N, C, size, size) -> (N, 1). Each ``group`` of images is compared (minibatch standard deviation)."""

    def __init__(self, channels: int, size: int, *, base: int = 32768, most: int = 512, group: int = 4) -> None:
        super().__init__()
        sides = resolutions(size)[::-1]
        counts = [channels_at(side, base, most) for side in sides]
        self.from_image = EqualConv2d(channels, counts[0], 1)
        self.blocks = nn.Sequential(*(Block(a, b) for a, b in pairwise(counts)))
        self.verdict = Verdict(counts[-1], sides[-1], group)

    def forward(self, images: Tensor) -> Tensor:
        score: Tensor = self.verdict(self.blocks(rectified(self.from_image(images))))
        return score
