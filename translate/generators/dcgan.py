"""The DCGAN generator (Radford et al., 2016): latents through transposed convolutions to an image."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from translate.discriminators.dcgan import dcgan_halvings, side_after
from translate.errors import UsageError
from translate.layers.init import init_normal
from translate.layers.norms import norm_layer

Projection = Literal["conv", "dense", "units"]
"""How latents become the first map. ``conv``: a transposed convolution from 1x1, as public PyTorch codes have it.
``dense``: a linear layer, as the paper draws it, normalised per channel of the map. ``units``: the same, normalised
unit by unit, as Keras' layers do before a reshape."""


class DCGANGenerator(nn.Module):
    """Latents (N, latent) to images (N, channels, size, size) in [-1, 1].

    As the paper's guidelines have it: a projection, then transposed convolutions of stride 2 with batch norm and
    rectifiers, then one to the image with tanh: the mirror of ``DCGANDiscriminator``. ``widths`` are the channels of
    the maps, from the projection to the last before the image, each half as large as the next; unless given, the last
    is ``width`` and they double towards the projection, up to ``8 * width``. ``extra`` layers of stride 1 follow the
    projection, the first of ``widths`` (with kernel 5, or 3 where ``kernel`` is 4, since an even kernel cannot keep the
    side). ``slope`` makes the rectifiers leaky; ``momentum`` and ``eps`` are batch norm's, as torch counts them. Raises
    ``UsageError`` for a ``size`` that the widths cannot double to, or without widths for one that is neither 28 nor a
    power of two from 32.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        *,
        latent: int = 100,
        width: int = 64,
        widths: Sequence[int] = (),
        kernel: Literal[4, 5] = 4,
        projection: Projection = "conv",
        extra: int = 0,
        slope: float = 0.0,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        if not widths:
            depth = dcgan_halvings(size) + extra
            widths = [width * min(8, 2 ** (depth - 1 - level)) for level in range(depth)]
        side = first_side(size, widths, extra)

        def rectifier() -> nn.Module:
            return nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True)

        # No bias before a norm, which brings its own.
        count = widths[0] * side**2
        norm = norm_layer("batch", widths[0], momentum, eps)
        shape = nn.Unflatten(1, (widths[0], side, side))
        layers: list[nn.Module]
        match projection:
            case "conv":
                lift = nn.ConvTranspose2d(latent, widths[0], side, bias=False)
                layers = [nn.Unflatten(1, (latent, 1, 1)), lift, norm, rectifier()]
            case "dense":
                layers = [nn.Linear(latent, count, bias=False), shape, norm, rectifier()]
            case "units":
                # As a map of one pixel: many processes share the statistics of two-dimensional norms alone.
                units = [nn.Unflatten(1, (count, 1, 1)), norm_layer("batch", count, momentum, eps), nn.Flatten()]
                layers = [nn.Linear(latent, count, bias=False), *units, rectifier(), shape]
        for level, (before, after) in enumerate(pairwise(widths)):
            if level < extra:
                odd = 5 if kernel == 5 else 3
                step = nn.ConvTranspose2d(before, after, odd, 1, odd // 2, bias=False)
            else:
                step = upsampler(before, after, kernel)
            layers += [step, norm_layer("batch", after, momentum, eps), rectifier()]
        layers += [upsampler(widths[-1], channels, kernel), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        init_normal(self)

    def forward(self, z: Tensor) -> Tensor:
        images: Tensor = self.layers(z)
        return images


def first_side(size: int, widths: Sequence[int], extra: int) -> int:
    """Side of the generator's first map; ``UsageError`` where there is none."""
    if not widths:
        return side_after(size, dcgan_halvings(size))
    if len(widths) <= extra:
        raise UsageError(f"extra {extra}: expected fewer extra layers than the {len(widths)} widths")
    return side_after(size, len(widths) - extra)


def upsampler(before: int, after: int, kernel: int) -> nn.ConvTranspose2d:
    """A transposed convolution that doubles the side; an odd kernel needs one row and column of output padding."""
    return nn.ConvTranspose2d(before, after, kernel, 2, (kernel - 1) // 2, output_padding=kernel % 2, bias=False)
