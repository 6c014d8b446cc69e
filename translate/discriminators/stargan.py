"""The discriminator of StarGAN, which also classifies a picture's domain."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn


class DomainDiscriminator(nn.Module):
    """Scores patches and classifies the picture (Choi et al., 2018, appendix 7.2).

    (N, channels, size, size) -> scores (N, 1, H', W') and logits (N, codes), one for each domain or attribute.
    ``layers`` convolutions of 4 pixels with stride 2, from ``width`` channels, twice as many in each; no normalisation;
    ``size`` must be a multiple of 2 ** ``layers``.
    """

    def __init__(self, channels: int, size: int, codes: int, width: int = 64, layers: int = 6) -> None:
        super().__init__()
        built: list[nn.Module] = []
        last = channels
        for depth in range(layers):
            built += [nn.Conv2d(last, width << depth, 4, stride=2, padding=1), nn.LeakyReLU(0.01, inplace=True)]
            last = width << depth
        self.layers = nn.Sequential(*built)
        self.score = nn.Conv2d(last, 1, 3, padding=1, bias=False)
        self.domain = nn.Conv2d(last, codes, size >> layers, bias=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.layers(image)
        return cast(Tensor, self.score(hidden)), cast(Tensor, self.domain(hidden)).flatten(1)
