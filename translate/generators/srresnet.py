"""SRResNet, the generator of SRGAN, and BasicSR's variant of it."""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.layers.norms import Norm, has_bias, norm_layer

Scale = Literal[1, 2, 3, 4, 8]
Output = Literal["linear", "tanh"]
BodyEnd = Literal["norm", "prelu"]


def upsampling_stages(scale: int) -> list[int]:
    """The factors that make up ``scale``: as many steps of 2 as there are, then 3 in one step."""
    stages = []
    for factor in (2, 3):
        while scale % factor == 0:
            stages.append(factor)
            scale //= factor
    return stages


class ResidualBlock(nn.Module):
    """k3 - norm - PReLU - k3 - norm, added to its input (Ledig et al., 2017, figure 4)."""

    def __init__(self, width: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=has_bias(norm))
        self.norm1 = norm_layer(norm, width)
        self.act = nn.PReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=has_bias(norm))
        self.norm2 = norm_layer(norm, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + cast(Tensor, self.norm2(self.conv2(self.act(self.norm1(self.conv1(x))))))


class SRResNet(nn.Module):
    """Super-resolution by residual blocks at low resolution and sub-pixel convolutions (Ledig et al., 2017, figure 4).

    (N, channels, H, W) in [-1, 1] -> (N, channels, H * scale, W * scale). As in the paper (section 3.2) the first
    convolution sees the input in [0, 1] and the output is in [-1, 1]: ``linear``, not bounded, as in the paper, or
    through ``tanh``, as some public networks have it. ``body_end`` is what follows the convolution after the residual
    blocks: the norm in the paper, PReLU in some public networks.
    """

    def __init__(
        self,
        channels: int = 3,
        scale: Scale = 4,
        *,
        width: int = 64,
        blocks: int = 16,
        norm: Norm = "batch",
        output: Output = "linear",
        body_end: BodyEnd = "norm",
    ) -> None:
        super().__init__()
        self.output = output
        self.stem = nn.Sequential(nn.Conv2d(channels, width, 9, padding=4), nn.PReLU())
        self.blocks = nn.Sequential(*(ResidualBlock(width, norm) for _ in range(blocks)))
        if body_end == "norm":
            self.body_end = nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1, bias=has_bias(norm)), norm_layer(norm, width)
            )
        else:
            self.body_end = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.PReLU())
        self.up = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(width, width * factor**2, 3, padding=1), nn.PixelShuffle(factor), nn.PReLU())
                for factor in upsampling_stages(scale)
            )
        )
        self.head = nn.Conv2d(width, channels, 9, padding=4)

    def forward(self, low: Tensor) -> Tensor:
        stem = self.stem((low + 1) / 2)
        image = self.head(self.up(stem + self.body_end(self.blocks(stem))))
        return torch.tanh(image) if self.output == "tanh" else cast(Tensor, image)


def margin(scale: Scale, blocks: int) -> int:
    """How many input pixels around a pixel ``SRResNet``'s output depends on, in eval mode."""
    reach = 4  # the 9x9 head, at full resolution
    for factor in reversed(upsampling_stages(scale)):
        reach = -(-reach // factor) + 1
    return reach + 1 + 2 * blocks + 4


class PlainBlock(nn.Module):
    """k3 - ReLU - k3, added to its input: a residual block without norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + cast(Tensor, self.conv2(F.relu(self.conv1(x))))


class MSRResNet(nn.Module):
    """BasicSR's variant of SRResNet (Wang et al., 2018): no norm, and detail is added to a bilinear enlargement.

    (N, channels, H, W) in [-1, 1] -> (N, channels, H * scale, W * scale), not bounded. Inside, pictures are in [0, 1]
    and modules have BasicSR's names.
    """

    def __init__(self, channels: int = 3, scale: Scale = 4, *, width: int = 64, blocks: int = 16) -> None:
        super().__init__()
        self.scale = scale
        self.factors = upsampling_stages(scale)
        self.conv_first = nn.Conv2d(channels, width, 3, padding=1)
        self.body = nn.Sequential(*(PlainBlock(width) for _ in range(blocks)))
        for number, factor in enumerate(self.factors, 1):
            self.add_module(f"upconv{number}", nn.Conv2d(width, width * factor**2, 3, padding=1))
        self.conv_hr = nn.Conv2d(width, width, 3, padding=1)
        self.conv_last = nn.Conv2d(width, channels, 3, padding=1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):  # as BasicSR initialises: near to the bilinear enlargement
                nn.init.kaiming_normal_(layer.weight)
                cast(Tensor, layer.bias).data.zero_()
                layer.weight.data.mul_(0.1)

    def forward(self, low: Tensor) -> Tensor:
        unit = (low + 1) / 2
        x = self.body(F.leaky_relu(self.conv_first(unit), 0.1))
        for number, factor in enumerate(self.factors, 1):
            upconv = self.get_submodule(f"upconv{number}")
            x = F.leaky_relu(F.pixel_shuffle(upconv(x), factor), 0.1)
        detail = self.conv_last(F.leaky_relu(self.conv_hr(x), 0.1))
        base = F.interpolate(unit, scale_factor=float(self.scale), mode="bilinear", align_corners=False)
        return cast(Tensor, detail + base) * 2 - 1


def msrresnet_margin(scale: Scale, blocks: int) -> int:
    """How many input pixels around a pixel ``MSRResNet``'s output depends on."""
    reach = 2  # conv_hr and conv_last, at full resolution
    for factor in reversed(upsampling_stages(scale)):
        reach = -(-reach // factor) + 1
    return reach + 2 * blocks + 1
