"""Spatially adaptive normalisation: scale and shift of each pixel come from a map (Park et al., 2019)."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from translate.layers.norms import InstanceNorm, Norm


class Spade(nn.Module):
    """Equations 1 to 3: (N, channels, H, W) and planes of a map, of any size -> (N, channels, H, W).

    ``hidden``: channels between the map and the two convolutions that read scale and shift from it. ``norm``: what
    comes before, without weights of its own. The map is brought to H and W by its nearest pixels.
    """

    def __init__(self, channels: int, planes: int, hidden: int = 128, norm: Norm = "batch") -> None:
        super().__init__()
        self.norm = InstanceNorm() if norm == "instance" else nn.BatchNorm2d(channels, affine=False)
        self.shared = nn.Sequential(nn.Conv2d(planes, hidden, 3, padding=1), nn.ReLU(inplace=True))
        self.scale = nn.Conv2d(hidden, channels, 3, padding=1)
        self.shift = nn.Conv2d(hidden, channels, 3, padding=1)

    def forward(self, x: Tensor, planes: Tensor) -> Tensor:
        hidden = self.shared(F.interpolate(planes, size=x.shape[2:], mode="nearest"))
        return cast(Tensor, self.norm(x) * (1 + self.scale(hidden)) + self.shift(hidden))


class SpadeBlock(nn.Module):
    """Two 3x3 convolutions, each after a ``Spade`` and a leaky rectifier, around which the input passes (figure 4).

    (N, before, H, W) and planes -> (N, after, H, W); where the channels change, the input passes through a norm and a
    1x1 convolution. ``hidden``, ``norm``: as ``Spade`` has them.
    """

    def __init__(self, before: int, after: int, planes: int, hidden: int = 128, norm: Norm = "batch") -> None:
        super().__init__()
        between = min(before, after)
        self.norm1, self.conv1 = Spade(before, planes, hidden, norm), nn.Conv2d(before, between, 3, padding=1)
        self.norm2, self.conv2 = Spade(between, planes, hidden, norm), nn.Conv2d(between, after, 3, padding=1)
        self.changes = before != after
        if self.changes:
            self.norm_skip, self.skip = Spade(before, planes, hidden, norm), nn.Conv2d(before, after, 1, bias=False)

    def forward(self, x: Tensor, planes: Tensor) -> Tensor:
        y = self.conv1(F.leaky_relu(self.norm1(x, planes), 0.2))
        y = self.conv2(F.leaky_relu(self.norm2(y, planes), 0.2))
        return cast(Tensor, y + (self.skip(self.norm_skip(x, planes)) if self.changes else x))
