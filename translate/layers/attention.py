"""Attention over all pixels of a feature map."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SelfAttention(nn.Module):
    """Adds to each pixel what it finds in all others (Zhang et al., 2019, eqs. 1 to 3): (N, C, H, W) -> same shape.

    Queries and keys have an eighth of the channels, values a half; keys and values are pooled to half the side, as in
    the authors' code. A learnt weight that starts at 0 brings it in.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow, half = max(1, channels // 8), max(1, channels // 2)
        self.query = nn.Conv2d(channels, narrow, 1, bias=False)
        self.key = nn.Conv2d(channels, narrow, 1, bias=False)
        self.value = nn.Conv2d(channels, half, 1, bias=False)
        self.out = nn.Conv2d(half, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        query = self.query(x).flatten(2)
        key, value = (F.max_pool2d(layer(x), 2).flatten(2) for layer in (self.key, self.value))
        share = (query.transpose(1, 2) @ key).softmax(2)  # (N, pixels, pooled pixels)
        found: Tensor = (value @ share.transpose(1, 2)).unflatten(2, x.shape[2:])
        return torch.addcmul(x, self.gamma, self.out(found))
