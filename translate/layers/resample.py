"""Layers that double the side of a feature map."""

from __future__ import annotations

from typing import Literal

from torch import nn

Upsample = Literal["deconv", "resize"]
"""``deconv``: transposed convolution, the papers' own. ``resize``: nearest neighbours and a 3x3 convolution, which
leaves no checkerboard (Odena et al., 2016)."""


def upsample_by_two(
    kind: Upsample, channels_in: int, channels_out: int, *, kernel: Literal[3, 4] = 3, bias: bool = True
) -> nn.Module:
    """(N, channels_in, H, W) -> (N, channels_out, 2H, 2W); ``kernel`` is the transposed convolution's."""
    if kind == "deconv":
        # Four taps double the side by themselves; three leave the last row and column to the output padding.
        return nn.ConvTranspose2d(
            channels_in, channels_out, kernel, stride=2, padding=1, output_padding=kernel % 2, bias=bias
        )
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest"),
        nn.Conv2d(channels_in, channels_out, 3, padding=1, padding_mode="reflect", bias=bias),
    )
