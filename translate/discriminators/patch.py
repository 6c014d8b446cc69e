"""The PatchGAN discriminator."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from translate.layers.init import init_normal
from translate.layers.norms import Norm, has_bias, norm_layer, spectrally_normalised
from translate.layers.resample import BlurDownsample, Downsample


class PatchDiscriminator(nn.Module):
    """Judges overlapping patches (Isola et al., 2017, section 3.2.2): (N, channels, H, W) -> logits (N, 1, H', W').

    ``layers`` stride-2 convolutions make the patch: 3 is the paper's C64-C128-C256-C512 with 70x70 pixels, 0 the
    "pixel" discriminator of 1x1 convolutions. ``downsample`` "blur" is CUT's: convolutions with stride 1 and a
    low-pass filter behind. H and W must be ``smallest_input`` or more.
    """

    def __init__(
        self,
        channels: int,
        base: int = 64,
        layers: int = 3,
        norm: Norm = "instance",
        spectral: bool = False,
        downsample: Downsample = "stride",
    ) -> None:
        super().__init__()
        self.smallest_input = smallest_input(layers)
        built = _pixel(channels, base, norm) if layers == 0 else _patch(channels, base, layers, norm, downsample)
        self.layers = init_normal(nn.Sequential(*built))
        if spectral:
            spectrally_normalised(self.layers)

    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.layers(image))

    def features(self, image: Tensor) -> list[Tensor]:
        """What each layer gives after its activation, in their order, and the logits as the last."""
        x, found = image, []
        for layer in self.layers:
            x = layer(x)
            if isinstance(layer, nn.LeakyReLU):
                found.append(x)
        return [*found, x]


def smallest_input(layers: int) -> int:
    """Least height and width in pixels for which a ``PatchDiscriminator`` gives one logit or more."""
    return 3 * 2**layers if layers else 2


def _patch(channels: int, base: int, layers: int, norm: Norm, downsample: Downsample) -> list[nn.Module]:
    blur = downsample == "blur"

    def conv(last: int, width: int, stride: int, bias: bool) -> nn.Module:
        return nn.Conv2d(last, width, 4, stride=1 if blur else stride, padding=1, bias=bias)

    def smaller(width: int) -> list[nn.Module]:
        return [BlurDownsample(width)] if blur else []

    # No norm on the first layer: it would take the colour statistics away that the discriminator is to judge.
    built: list[nn.Module] = [conv(channels, base, 2, True), nn.LeakyReLU(0.2, inplace=True), *smaller(base)]
    width = base
    for depth in range(1, layers + 1):
        last, width = width, base * min(2**depth, 8)
        halves = depth < layers
        built += [
            conv(last, width, 2 if halves else 1, has_bias(norm)),
            norm_layer(norm, width),
            nn.LeakyReLU(0.2, inplace=True),
            *(smaller(width) if halves else []),
        ]
    return [*built, nn.Conv2d(width, 1, 4, padding=1)]


def _pixel(channels: int, base: int, norm: Norm) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, base, 1),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(base, base * 2, 1, bias=has_bias(norm)),
        norm_layer(norm, base * 2),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(base * 2, 1, 1, bias=has_bias(norm)),
    ]
