"""The discriminator of Real-ESRGAN: a U-Net that judges every pixel."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from translate.layers.norms import spectrally_normalised

HALVINGS = 3


class UNetDiscriminator(nn.Module):
    """U-Net with spectral normalisation and added skips (Wang et al., 2021, section 3.5 and figure 6).

    (N, channels, H, W) -> a logit for every pixel, (N, 1, H, W). H and W must be multiples of 8.
    """

    def __init__(self, channels: int, *, width: int = 64) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        wide = [width * 2**level for level in range(HALVINGS + 1)]
        self.down = nn.ModuleList(
            nn.Conv2d(wide[level], wide[level + 1], 4, stride=2, padding=1, bias=False) for level in range(HALVINGS)
        )
        self.up = nn.ModuleList(
            nn.Conv2d(wide[level + 1], wide[level], 3, padding=1, bias=False) for level in reversed(range(HALVINGS))
        )
        self.tail = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        for layers in (self.down, self.up, self.tail):
            spectrally_normalised(layers)
        self.last = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        x = F.leaky_relu(self.first(image), 0.2)
        skips = []
        for conv in self.down:
            skips.append(x)
            x = F.leaky_relu(conv(x), 0.2)
        for conv in self.up:
            enlarged = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = F.leaky_relu(conv(enlarged), 0.2) + skips.pop()
        for conv in self.tail:
            x = F.leaky_relu(conv(x), 0.2)
        return cast(Tensor, self.last(x))
