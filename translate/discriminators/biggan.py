"""The discriminator of SAGAN and BigGAN."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from translate.discriminators.projection import ProjectionDiscriminator
from translate.generators.biggan import multiples
from translate.layers.attention import SelfAttention
from translate.layers.norms import spectrally_normalised
from translate.layers.resblocks import DownBlock


def class_discriminator(
    channels: int, size: int, classes: int, *, width: int, attention: int, init: Callable[[nn.Module], object]
) -> ProjectionDiscriminator:
    """Residual blocks, the mirror of ``ClassGenerator``, and a projection; spectral norm throughout.

    The last block keeps the side, of 32 px pictures the last two (Brock et al., 2019, appendix B; Miyato et al., 2018).
    """
    widths = [multiple * width for multiple in reversed(multiples(size))]
    side, before = size, channels
    layers: list[nn.Module] = []
    for number, after in enumerate(widths):
        halve = side > (8 if size == 32 else 4)
        layers.append(DownBlock(before, after, first=not number, halve=halve))
        side, before = side // 2 if halve else side, after
        if side == attention and halve:
            layers.append(SelfAttention(after))
    net = ProjectionDiscriminator(nn.Sequential(*layers, nn.ReLU()), before, classes)
    init(net)
    return spectrally_normalised(net)
