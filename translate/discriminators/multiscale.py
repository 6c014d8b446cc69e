"""PatchGANs on several scales."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from translate.discriminators.patch import PatchDiscriminator
from translate.layers.norms import Norm


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
    ) -> None:
        super().__init__()
        patches = [PatchDiscriminator(channels, base, layers, norm, spectral) for _ in range(scales)]
        self.scales = nn.ModuleList(patches)
        self.smallest_input = ((patches[0].smallest_input - 1) << (scales - 1)) + 1

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


def halved(image: Tensor) -> Tensor:
    """(N, C, H, W) at half the side, as pix2pixHD's public code does it: means over 3x3 pixels of those there are."""
    return F.avg_pool2d(image, 3, stride=2, padding=1, count_include_pad=False)
