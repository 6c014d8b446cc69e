"""The DCGAN discriminator, and the sizes and widths of both DCGAN networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

from torch import Tensor, nn

from translate.errors import UsageError
from translate.layers.init import init_normal
from translate.layers.minibatch import MinibatchDiscrimination
from translate.layers.norms import Norm, has_bias, norm_layer, spectrally_normalised


class DCGANDiscriminator(nn.Module):
    """Judges the whole picture (Radford et al., 2016): (N, channels, size, size) -> logits (N,).

    A stride-2 convolution for each of ``widths`` halves the picture; a last layer over the whole map gives the logit.
    Unless given, the widths double from ``width`` to at most ``8 * width``, down to 4x4 (from 28 to 7x7). No norm on
    the first layer; leaky ReLU of ``slope``. ``bias``: biases where no batch norm follows. ``dropout``: the share of
    activations left out after each layer. ``minibatch``: kernels of minibatch discrimination before the last layer. A
    critic with a gradient penalty needs ``norm`` "instance" or "none". Raises ``UsageError`` for a ``size`` that the
    widths cannot halve, or without widths for one that is neither 28 nor a power of two from 32.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        width: int = 64,
        widths: Sequence[int] = (),
        kernel: Literal[4, 5] = 4,
        norm: Norm = "batch",
        slope: float = 0.2,
        bias: bool = True,
        dropout: float = 0.0,
        spectral: bool = False,
        minibatch: int = 0,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        widths = widths or [width * min(2**depth, 8) for depth in range(dcgan_halvings(size))]
        side = side_after(size, len(widths))
        built: list[nn.Module] = []
        last = channels
        for depth, wide in enumerate(widths):
            layer_norm: Norm = norm if depth else "none"
            own_bias = bias and has_bias(layer_norm)
            built.append(nn.Conv2d(last, wide, kernel, stride=2, padding=(kernel - 1) // 2, bias=own_bias))
            if layer_norm != "none":
                built.append(norm_layer(layer_norm, wide, momentum, eps))
            built.append(nn.LeakyReLU(slope, inplace=True))
            if dropout:
                built.append(nn.Dropout(dropout))
            last = wide
        self.features = nn.Sequential(*built)
        count = last * side**2
        self.head: nn.Module = nn.Conv2d(last, 1, side, bias=bias)
        if minibatch:
            compare = MinibatchDiscrimination(count, minibatch)
            self.head = nn.Sequential(nn.Flatten(), compare, nn.Linear(count + minibatch, 1, bias=bias))
        init_normal(self)
        if spectral:
            spectrally_normalised(self)

    def forward(self, image: Tensor, *, features: bool = False) -> Tensor:
        """Logits (N,), or what the last layer makes them from: ``features`` (N, numbers)."""
        maps = self.features(image)
        return cast(Tensor, maps.flatten(1) if features else self.head(maps).flatten())


def dcgan_halvings(size: int) -> int:
    """How often a DCGAN halves a picture of this side: 28 -> 2, 32 -> 3, 64 -> 4, ...; ``UsageError`` for others."""
    if size == 28:
        return 2
    if size < 32 or size & (size - 1):
        raise UsageError(f"--size {size}: a DCGAN takes 28 or a power of two from 32 (32, 64, 128, ...)")
    return size.bit_length() - 3


def side_after(size: int, halvings: int) -> int:
    """Side of a picture's smallest map; ``UsageError`` where it cannot be halved so often."""
    if size % 2**halvings or size < 2 ** (halvings + 1):
        raise UsageError(
            f"--size {size}: {halvings} widths halve it {halvings} times; expected a multiple of "
            f"{2**halvings}, {2 ** (halvings + 1)} or more"
        )
    return size >> halvings
