"""SinCUT's discriminator: StyleGAN2's without the comparison of images (Park et al., 2020)."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from translate.generators.stylegan import channels_at, resolutions
from translate.layers.equalized import EqualConv2d, EqualLinear, rectified
from translate.layers.filtered import FilteredBlock


class SinCUTDiscriminator(nn.Module):
    """(N, channels, size, size) -> (N, 1). Channels: 256 * ``width`` shared by the side, at most 384."""

    def __init__(self, channels: int, size: int, width: int = 8) -> None:
        super().__init__()
        sides = resolutions(size)[::-1]
        counts = [channels_at(side, 256 * width, 384) for side in sides]
        self.from_image = EqualConv2d(channels, counts[0], 1)
        self.blocks = nn.Sequential(*(FilteredBlock(a, b, halve=True) for a, b in pairwise(counts)))
        self.last = EqualConv2d(counts[-1], counts[-1], 3)
        self.hidden = EqualLinear(counts[-1] * sides[-1] ** 2, counts[-1])
        self.score = EqualLinear(counts[-1], 1)

    def forward(self, images: Tensor) -> Tensor:
        x = rectified(self.last(self.blocks(rectified(self.from_image(images)))))
        score: Tensor = self.score(rectified(self.hidden(x.flatten(1))))
        return score
