"""The generator of free-form inpainting: gated convolutions, first coarse and then fine (Yu et al., 2019)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HALVINGS = 2
DILATIONS = (2, 4, 8, 16)


class GatedConv(nn.Module):
    """ELU of features times the sigmoid of a gate, both by one convolution (Yu et al., 2019, equation 2).

    (N, channels, H, W) -> (N, out, H / stride, W / stride). ``enlarge``: the input is doubled first, by its nearest.
    """

    def __init__(
        self, channels: int, out: int, kernel: int = 3, *, stride: int = 1, dilation: int = 1, enlarge: bool = False
    ) -> None:
        super().__init__()
        self.enlarge = enlarge
        padding = dilation * (kernel - 1) // 2
        self.conv = nn.Conv2d(channels, 2 * out, kernel, stride, padding, dilation)

    def forward(self, x: Tensor) -> Tensor:
        if self.enlarge:
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        features, gate = self.conv(x).chunk(2, 1)
        return F.elu(features) * torch.sigmoid(gate)


def _stage(channels: int, out: int, width: int, inner: tuple[int, int, int, int]) -> nn.Sequential:
    """Down to a quarter, dilated convolutions there, and up again. ``inner``: channels of the second to fifth layer."""
    second, third, fourth, fifth = inner
    return nn.Sequential(
        *(GatedConv(channels, width, 5), GatedConv(width, second, stride=2), GatedConv(second, third)),
        *(GatedConv(third, fourth, stride=2), GatedConv(fourth, fifth), GatedConv(fifth, fifth)),
        *(GatedConv(fifth, fifth, dilation=dilation) for dilation in DILATIONS),
        *(GatedConv(fifth, fifth), GatedConv(fifth, fifth)),
        *(GatedConv(fifth, 2 * width, enlarge=True), GatedConv(2 * width, 2 * width)),
        *(GatedConv(2 * width, width, enlarge=True), GatedConv(width, max(1, width // 2))),
        *(nn.Conv2d(max(1, width // 2), out, 3, padding=1), nn.Tanh()),
    )


class GatedGenerator(nn.Module):
    """Fills holes in two stages (Yu et al., 2019, figure 3), without its branch of contextual attention.

    Pictures (N, channels, H, W) in [-1, 1] and holes (N, 1, H, W), 1 where there is nothing and 0 elsewhere, -> the
    coarse and the fine picture, in [-1, 1]. What pictures have in their holes is not looked at. H and W must be
    multiples of 4.
    """

    def __init__(self, channels: int = 3, *, width: int = 24) -> None:
        super().__init__()
        wide = 4 * width
        self.coarse = _stage(channels + 2, channels, width, (2 * width, 2 * width, wide, wide))
        self.fine = _stage(channels + 2, channels, width, (width, 2 * width, 2 * width, wide))

    def forward(self, image: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
        # A plane of ones tells what lies inside the picture, the padding of convolutions being 0.
        planes = [torch.ones_like(hole), hole]
        coarse = cast(Tensor, self.coarse(torch.cat([image * (1 - hole), *planes], 1)))
        filled = coarse * hole + image * (1 - hole)
        return coarse, self.fine(torch.cat([filled, *planes], 1))


def gated_margin() -> int:
    """How many pixels away from an output pixel the input still matters."""
    down = [(5, 1, 1), (3, 2, 1), (3, 1, 1), (3, 2, 1), (3, 1, 1), (3, 1, 1)]
    inner = [*((3, 1, dilation) for dilation in DILATIONS), (3, 1, 1), (3, 1, 1)]
    farthest = 0
    for pixel in range(2**HALVINGS):
        low = high = pixel
        for _ in range(2):
            for last_two in (1 + 2, 2):  # the last convolution and those before it, behind each enlargement
                low, high = (low - last_two) // 2, (high + last_two) // 2
            for kernel, stride, dilation in reversed([*down, *inner]):
                reach = dilation * (kernel - 1) // 2
                low, high = low * stride - reach, high * stride + reach
        farthest = max(farthest, pixel - low, high - pixel)
    return farthest
