"""SRVGGNetCompact, the small generator of Real-ESRGAN: plain convolutions at low resolution."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from translate.generators.srresnet import Scale


class CompactNet(nn.Module):
    """Real-ESRGAN's SRVGGNetCompact: detail by plain 3x3 convolutions, added to the nearest-neighbour enlargement.

    (N, channels, H, W) in [-1, 1] -> (N, channels, H * scale, W * scale), not bounded. Inside, pictures are in [0, 1]
    and modules have the names by which community loaders know this network. ``blocks``: convolutions of ``width``
    channels with PReLU between the first and the last one.
    """

    def __init__(self, channels: int = 3, scale: Scale = 4, *, width: int = 64, blocks: int = 16) -> None:
        super().__init__()
        self.scale = scale
        body: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), nn.PReLU(width)]
        for _ in range(blocks):
            body += [nn.Conv2d(width, width, 3, padding=1), nn.PReLU(width)]
        self.body = nn.Sequential(*body, nn.Conv2d(width, channels * scale**2, 3, padding=1))

    def forward(self, low: Tensor) -> Tensor:
        unit = (low + 1) / 2
        detail = F.pixel_shuffle(self.body(unit), self.scale)
        return (detail + F.interpolate(unit, scale_factor=float(self.scale), mode="nearest")) * 2 - 1

    def spandrel_state(self) -> dict[str, Tensor]:
        """The tensors by the names that community loaders detect, which are ours."""
        return dict(cast(dict[str, Tensor], self.state_dict()))


def compact_margin(blocks: int) -> int:
    """How many input pixels around a pixel ``CompactNet``'s output depends on."""
    return blocks + 2
