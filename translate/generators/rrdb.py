"""RRDBNet, the generator of ESRGAN and Real-ESRGAN."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.errors import UsageError
from translate.generators.srresnet import Scale, upsampling_stages

SPANDREL_GROWTH = 32
"""Channels that each convolution of a dense block adds in spandrel's RRDBNet."""


class ResidualDenseBlock(nn.Module):
    """Five 3x3 convolutions, each fed with all before it; a fifth of the result is added to the input."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, growth, 3, padding=1)
        self.conv2 = nn.Conv2d(width + growth, growth, 3, padding=1)
        self.conv3 = nn.Conv2d(width + 2 * growth, growth, 3, padding=1)
        self.conv4 = nn.Conv2d(width + 3 * growth, growth, 3, padding=1)
        self.conv5 = nn.Conv2d(width + 4 * growth, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        maps = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            maps = torch.cat((maps, F.leaky_relu(conv(maps), 0.2)), dim=1)
        return torch.add(x, self.conv5(maps), alpha=0.2)  # one pass over memory


class RRDB(nn.Module):
    """Residual in residual dense block (Wang et al., 2018, figure 4), residual scaling 0.2."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = ResidualDenseBlock(width, growth)
        self.rdb2 = ResidualDenseBlock(width, growth)
        self.rdb3 = ResidualDenseBlock(width, growth)

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.rdb3(self.rdb2(self.rdb1(x))), alpha=0.2)


class RRDBNet(nn.Module):
    """Super-resolution by residual in residual dense blocks (Wang et al., 2018, section 3.1).

    (N, channels, H, W) in [-1, 1] -> (N, channels, H * scale, W * scale), not bounded. Inside, pictures are in [0, 1]
    and modules have the names by which community loaders know this network. ``unshuffle``: the network works on an
    input this many times smaller, with as many more channels (2 in Real-ESRGAN's x2 model; H and W must be multiples).
    """

    def __init__(
        self,
        channels: int = 3,
        scale: Scale = 4,
        *,
        width: int = 64,
        blocks: int = 23,
        growth: int = 32,
        unshuffle: int = 1,
    ) -> None:
        super().__init__()
        self.unshuffle = unshuffle
        self.growth = growth
        self.factors = upsampling_stages(scale * unshuffle)
        self.conv_first = nn.Conv2d(channels * unshuffle**2, width, 3, padding=1)
        self.body = nn.Sequential(*(RRDB(width, growth) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(width, width, 3, padding=1)
        for number in range(1, len(self.factors) + 1):
            self.add_module(f"conv_up{number}", nn.Conv2d(width, width, 3, padding=1))
        self.conv_hr = nn.Conv2d(width, width, 3, padding=1)
        self.conv_last = nn.Conv2d(width, channels, 3, padding=1)
        for layer in self.body.modules():
            if isinstance(layer, nn.Conv2d):  # section 3.1: a smaller initialisation makes deep networks trainable
                nn.init.kaiming_normal_(layer.weight, a=0.2)
                cast(Tensor, layer.bias).data.zero_()
                layer.weight.data.mul_(0.1)

    def forward(self, low: Tensor) -> Tensor:
        unit = F.pixel_unshuffle((low + 1) / 2, self.unshuffle)
        first = self.conv_first(unit)
        x = first + self.conv_body(self.body(first))
        for number, factor in enumerate(self.factors, 1):
            conv_up = self.get_submodule(f"conv_up{number}")
            x = F.leaky_relu(conv_up(F.interpolate(x, scale_factor=float(factor), mode="nearest")), 0.2)
        return cast(Tensor, self.conv_last(F.leaky_relu(self.conv_hr(x), 0.2))) * 2 - 1

    def spandrel_state(self) -> dict[str, Tensor]:
        """The tensors by the names that community loaders detect, which are ours.

        Raises ``UsageError`` for what those loaders do not build: other growths, and other factors than 2.
        """
        if self.growth != SPANDREL_GROWTH or set(self.factors) - {2}:
            raise UsageError(
                f"spandrel builds this network with growth {SPANDREL_GROWTH} and a scale of 1, 2, 4 or 8 alone; it has "
                f"growth {self.growth} and enlarges by {' and '.join(map(str, self.factors))}"
            )
        return dict(self.state_dict())


def margin(scale: Scale, blocks: int, unshuffle: int = 1) -> int:
    """How many input pixels around a pixel ``RRDBNet``'s output depends on."""
    reach = 0
    for pixel in range(unshuffle):  # which of those that unshuffling puts together
        first, last = pixel * scale - 2, pixel * scale + scale - 1 + 2  # conv_hr and conv_last
        for factor in reversed(upsampling_stages(scale * unshuffle)):
            first, last = (first - 1) // factor, (last + 1) // factor
        trunk = 2 + 15 * blocks
        reach = max(reach, pixel - (first - trunk) * unshuffle, (last + trunk + 1) * unshuffle - 1 - pixel)
    return reach
