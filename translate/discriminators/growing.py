"""Progressive GAN's discriminator (Karras et al., 2018, table 2), the mirror of its generator."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.discriminators.stylegan import Verdict
from translate.generators.growing import share
from translate.generators.stylegan import channels_at, resolutions
from translate.layers.equalized import EqualConv2d, rectified


class Block(nn.Module):
    """Two convolutions, each rectified, and half the side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = EqualConv2d(inputs, inputs, 3), EqualConv2d(inputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(rectified(self.second(rectified(self.first(x)))), 2)


class GrowingDiscriminator(nn.Module):
    """Images (N, channels, side, side) of a stage -> (N, 1 + classes): scores, then logits.

    ``stage``: the number of their side, 0 the smallest. ``depth``: as for ``GrowingGenerator``, between ``stage`` - 1
    and ``stage``. ``group``: how many images are compared (minibatch standard deviation).
    """

    def __init__(
        self, channels: int, size: int, *, base: int = 16384, most: int = 512, group: int = 4, classes: int = 0
    ) -> None:
        super().__init__()
        sides = resolutions(size)
        counts = [channels_at(side, base, most) for side in sides]
        self.from_image = nn.ModuleList(EqualConv2d(channels, count, 1) for count in counts)
        self.blocks = nn.ModuleList(Block(after, before) for before, after in pairwise(counts))
        self.verdict = Verdict(counts[0], sides[0], group, 1 + classes)

    def forward(self, images: Tensor, stage: int, depth: Tensor) -> Tensor:
        x = rectified(self.from_image[stage](images))
        if stage:
            x = self.blocks[stage - 1](x)
            before = rectified(self.from_image[stage - 1](F.avg_pool2d(images, 2)))
            x = torch.lerp(before, x, share(depth, stage).to(x.dtype))
        for number in range(stage - 1, 0, -1):
            x = self.blocks[number - 1](x)
        score: Tensor = self.verdict(x)
        return score
