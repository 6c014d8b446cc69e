"""Resampling by two with the binomial filter 1-3-3-1 (Karras et al., 2020, appendix B)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

TAPS = (1.0, 3.0, 3.0, 1.0)


def up_by_two(x: Tensor, margin: Literal[0, 1] = 0) -> Tensor:
    """(N, C, H, W) -> (N, C, 2 * H, 2 * W); a margin of 1 adds the pixels around that the filter reaches."""
    channels = x.shape[1]
    return F.conv_transpose2d(x, 4 * _kernel(x), stride=2, padding=1 - margin, groups=channels)


def down_by_two(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, H / 2, W / 2), for even sides."""
    return F.conv2d(x, _kernel(x), stride=2, padding=1, groups=x.shape[1])


def blurred(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, H + 1, W + 1), from which a 3x3 convolution of a stride of two makes half the side."""
    return F.conv2d(x, _kernel(x), padding=2, groups=x.shape[1])


def _kernel(x: Tensor) -> Tensor:
    taps = torch.tensor(TAPS, dtype=x.dtype, device=x.device) / sum(TAPS)
    return torch.outer(taps, taps).expand(x.shape[1], 1, len(TAPS), len(TAPS))
