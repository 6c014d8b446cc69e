"""The DCGAN discriminator."""

from __future__ import annotations

from typing import Literal, cast

from torch import Tensor, nn

from translate.errors import UsageError
from translate.layers.init import init_normal
from translate.layers.norms import Norm, has_bias, norm_layer, spectrally_normalised


class DCGANDiscriminator(nn.Module):
    """Judges the whole picture (Radford et al., 2016): (N, channels, size, size) -> logits (N,).

    Stride-2 convolutions halve the picture to 4x4 (from 28 to 7x7) while the width doubles from ``base`` to at most
    ``8 * base``; a last convolution over the whole map gives the logit. No norm on the first layer; leaky ReLU 0.2.
    ``dropout`` is the share of activations left out after each layer. A critic with a gradient penalty needs ``norm``
    "instance" or "none". Raises ``UsageError`` for a ``size`` that is neither 28 nor a power of two from 32.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        base: int = 64,
        kernel: Literal[4, 5] = 4,
        norm: Norm = "batch",
        dropout: float = 0.0,
        spectral: bool = False,
    ) -> None:
        super().__init__()
        built: list[nn.Module] = []
        last, width = channels, base
        for depth in range(dcgan_halvings(size)):
            width = base * min(2**depth, 8)
            layer_norm: Norm = norm if depth else "none"
            bias = has_bias(layer_norm)
            built.append(nn.Conv2d(last, width, kernel, stride=2, padding=(kernel - 1) // 2, bias=bias))
            if layer_norm != "none":
                built.append(norm_layer(layer_norm, width))
            built.append(nn.LeakyReLU(0.2, inplace=True))
            if dropout:
                built.append(nn.Dropout(dropout))
            last = width
        self.features = nn.Sequential(*built)
        self.head = nn.Conv2d(width, 1, size >> dcgan_halvings(size))
        init_normal(self)
        if spectral:
            spectrally_normalised(self)

    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.features(image)).flatten())


def dcgan_halvings(size: int) -> int:
    """How often a DCGAN halves a picture of this side: 28 -> 2, 32 -> 3, 64 -> 4, ...; ``UsageError`` for others."""
    if size == 28:
        return 2
    if size < 32 or size & (size - 1):
        raise UsageError(f"--size {size}: a DCGAN takes 28 or a power of two from 32 (32, 64, 128, ...)")
    return size.bit_length() - 3
