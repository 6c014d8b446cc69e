"""Sharpening by an unsharp mask, as Real-ESRGAN sharpens its targets."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

TAPS = 51
SIGMA = 0.3 * ((TAPS - 1) / 2 - 1) + 0.8
"""OpenCV's width of a Gaussian of so many taps."""
AMOUNT = 0.5
THRESHOLD = 10 / 255
"""Differences from the blurred picture, in 0 to 1, up to which nothing is sharpened."""


def sharpened(image: Tensor) -> Tensor:
    """(N, C, H, W) in [-1, 1] -> the same with edges sharpened, as Real-ESRGAN's authors do (Wang et al., 2021, 4.1).

    Half of the difference from a blurred copy is added where that is large, through a mask that is blurred in turn.
    """
    unit = (image + 1) / 2
    residual = unit - _blurred(unit)
    mask = _blurred((residual.abs() > THRESHOLD).to(unit))
    sharp = (unit + AMOUNT * residual).clamp(0, 1)
    return (mask * sharp + (1 - mask) * unit) * 2 - 1


def _blurred(x: Tensor) -> Tensor:
    """Gaussian blur with mirrored borders; where a picture is too small to be mirrored, its border is repeated."""
    radius = TAPS // 2
    offset = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    line = torch.exp(-(offset**2) / (2 * SIGMA**2))
    line = line / line.sum()
    mode = "reflect" if radius < min(x.shape[2:]) else "replicate"
    padded = F.pad(x, (radius,) * 4, mode=mode).flatten(0, 1)[:, None]
    return F.conv2d(F.conv2d(padded, line.view(1, 1, -1, 1)), line.view(1, 1, 1, -1)).view(x.shape)
