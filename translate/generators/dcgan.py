"""The DCGAN generator (Radford et al., 2016): latents through transposed convolutions to an image."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from translate.discriminators.dcgan import dcgan_halvings
from translate.layers.init import init_normal
from translate.layers.norms import norm_layer

Projection = Literal["conv", "dense"]


class DCGANGenerator(nn.Module):
    """Latents (N, latent) to images (N, channels, size, size) in [-1, 1].

    As the paper's guidelines have it: a projection, then transposed convolutions of stride 2 with batch norm and
    rectifiers, then one to the image with tanh: the mirror of ``DCGANDiscriminator``. The width before the image is
    ``base`` and doubles towards the projection, up to ``8 * base``. ``projection="conv"`` starts with a transposed
    convolution from 1x1, as public PyTorch codes do; ``"dense"`` with a linear layer, as the paper draws it. ``extra``
    layers of stride 1 follow the projection (with kernel 5, or 3 where ``kernel`` is 4, since an even kernel cannot
    keep the side). ``slope`` makes the rectifiers leaky. Raises ``UsageError`` for a ``size`` that is neither 28 nor a
    power of two from 32.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        *,
        latent: int = 100,
        base: int = 64,
        kernel: Literal[4, 5] = 4,
        projection: Projection = "conv",
        extra: int = 0,
        slope: float = 0.0,
    ) -> None:
        super().__init__()
        side = size >> dcgan_halvings(size)
        depth = dcgan_halvings(size) + extra
        widths = [base * min(8, 2 ** (depth - 1 - level)) for level in range(depth)]

        def rectifier() -> nn.Module:
            return nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True)

        layers: list[nn.Module] = []
        if projection == "dense":
            # Normalised per channel after the reshape, as the paper's maps are; the linear layer needs no bias then.
            layers += [nn.Linear(latent, widths[0] * side**2, bias=False), nn.Unflatten(1, (widths[0], side, side))]
        else:
            layers += [nn.Unflatten(1, (latent, 1, 1)), nn.ConvTranspose2d(latent, widths[0], side, bias=False)]
        layers += [norm_layer("batch", widths[0]), rectifier()]
        for level in range(depth - 1):
            if level < extra:
                odd = 5 if kernel == 5 else 3
                step = nn.ConvTranspose2d(widths[level], widths[level + 1], odd, 1, odd // 2, bias=False)
            else:
                step = upsampler(widths[level], widths[level + 1], kernel)
            layers += [step, norm_layer("batch", widths[level + 1]), rectifier()]
        layers += [upsampler(widths[-1], channels, kernel), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        init_normal(self)

    def forward(self, z: Tensor) -> Tensor:
        images: Tensor = self.layers(z)
        return images


def upsampler(before: int, after: int, kernel: int) -> nn.ConvTranspose2d:
    """A transposed convolution that doubles the side; an odd kernel needs one row and column of output padding."""
    return nn.ConvTranspose2d(before, after, kernel, 2, (kernel - 1) // 2, output_padding=kernel % 2, bias=False)
