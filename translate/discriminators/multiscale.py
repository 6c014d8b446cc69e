"""PatchGANs on several scales."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from translate.discriminators.patch import PatchDiscriminator, smallest_input
from translate.layers.norms import Norm
from translate.layers.resample import Downsample


class MultiScaleDiscriminator(nn.Module):
    """PatchGANs of equal shape on ever smaller images (pix2pixHD: Wang et al., 2018, section 3.2).

    (N, channels, H, W) -> ``scales`` logits (N, 1, H', W'), the finest first; each further one sees the image at half
    the side. H and W must be ``smallest_input`` or more.
    """

    def __init__(
        self,
        channels: int,
        base: int = 64,
        layers: int = 3,
        scales: int = 3,
        norm: Norm = "instance",
        spectral: bool = False,
        downsample: Downsample = "stride",
    ) -> None:
        super().__init__()
        patches = [PatchDiscriminator(channels, base, layers, norm, spectral, downsample) for _ in range(scales)]
        self.scales = nn.ModuleList(patches)
        self.smallest_input = smallest_side(layers, scales)

    def forward(self, image: Tensor) -> list[Tensor]:
        return [scale(smaller) for scale, smaller in zip(self.scales, self._pyramid(image), strict=True)]

    def features(self, image: Tensor) -> list[list[Tensor]]:
        """For each scale what its layers give after their activations, and the logits as the last."""
        patches = (cast(PatchDiscriminator, scale) for scale in self.scales)
        return [patch.features(smaller) for patch, smaller in zip(patches, self._pyramid(image), strict=True)]

    def _pyramid(self, image: Tensor) -> list[Tensor]:
        images = [image]
        for _ in range(len(self.scales) - 1):
            images.append(halved(images[-1]))
        return images


def patch_discriminator(
    channels: int,
    base: int,
    layers: int,
    scales: int = 1,
    norm: Norm = "instance",
    spectral: bool = False,
    downsample: Downsample = "stride",
) -> PatchDiscriminator | MultiScaleDiscriminator:
    """A PatchGAN, on several scales where there is more than one: logits are a tensor, or a list of them."""
    if scales == 1:
        return PatchDiscriminator(channels, base, layers, norm, spectral, downsample)
    return MultiScaleDiscriminator(channels, base, layers, scales, norm, spectral, downsample)


def smallest_side(layers: int, scales: int = 1) -> int:
    """Least height and width in pixels that a PatchGAN on so many scales can judge."""
    return ((smallest_input(layers) - 1) << (scales - 1)) + 1


def halved(image: Tensor) -> Tensor:
    """(N, C, H, W) at half the side, as pix2pixHD's public code does it: means over 3x3 pixels of those there are."""
    return F.avg_pool2d(image, 3, stride=2, padding=1, count_include_pad=False)
