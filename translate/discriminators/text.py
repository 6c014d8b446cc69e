"""The discriminator of StackGAN and AttnGAN: is it a picture, and does it fit the caption?"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from translate.generators.text import FIRST, doublings
from translate.layers.init import init_normal

WIDEST = 8
"""Channels of the map that meets the sentence, in multiples of the width, at most."""


class TextDiscriminator(nn.Module):
    """Images (N, channels, size, size) and sentences (N, features) to logits (N, 2): of the pair, of the image alone.

    Strided 4x4 convolutions down to a 4x4 map, 3x3 ones that bring it to 8 times ``width`` where it has more, and a
    logit from it with the sentence at every place (Zhang et al., 2017, section 3.3) beside one from it alone (Xu et
    al., 2018, eq. 3). ``projected``: units of a linear layer that the sentence passes first, 0 for none. ``init``:
    draws the weights.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        features: int,
        width: int = 64,
        projected: int = 0,
        init: Callable[[nn.Module], object] = init_normal,
    ) -> None:
        super().__init__()
        count = doublings(size)
        layers: list[nn.Module] = []
        before = channels
        for level in range(count):
            after = width << level
            layers += [nn.Conv2d(before, after, 4, 2, 1, bias=False)]
            layers += [nn.BatchNorm2d(after)] if level else []
            layers += [nn.LeakyReLU(0.2, inplace=True)]
            before = after
        while before > WIDEST * width:
            layers += _block(before, before // 2)
            before //= 2
        self.body = nn.Sequential(*layers)
        self.sentence = nn.Sequential(nn.Linear(features, projected), nn.LeakyReLU(0.2)) if projected else nn.Identity()
        self.join = nn.Sequential(*_block(before + (projected or features), before))
        self.pair = nn.Conv2d(before, 1, FIRST)
        self.alone = nn.Conv2d(before, 1, FIRST)
        init(self)

    def forward(self, images: Tensor, sentences: Tensor) -> Tensor:
        seen = self.body(images)
        everywhere = self.sentence(sentences)[:, :, None, None].expand(-1, -1, *seen.shape[2:])
        joined = self.join(torch.cat([everywhere, seen], 1))
        return torch.cat([self.pair(joined).flatten(1), self.alone(seen).flatten(1)], 1)


def _block(before: int, after: int) -> list[nn.Module]:
    return [
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.LeakyReLU(0.2, inplace=True),
    ]
