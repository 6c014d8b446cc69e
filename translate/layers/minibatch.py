"""Layers that show a discriminator how alike the samples of a batch are."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MinibatchDiscrimination(nn.Module):
    """Features (N, A) with each sample's closeness to the others of its batch appended (Salimans et al., 2016, 3.2).

    (N, features) -> (N, features + kernels). A tensor T maps each sample to ``kernels`` rows of ``dims`` numbers; the
    closeness is the sum over the batch of exp(-L1 distance) of the rows. The sample's own share of 1 is left out, as
    the constant that it is.
    """

    def __init__(self, features: int, kernels: int = 100, dims: int = 5) -> None:
        super().__init__()
        self.maps = nn.Linear(features, kernels * dims, bias=False)
        self.kernels = kernels

    def forward(self, features: Tensor) -> Tensor:
        rows = self.maps(features).unflatten(1, (self.kernels, -1))
        apart = (rows[:, None] - rows[None]).abs().sum(3)  # (N, N, kernels)
        return torch.cat([features, torch.exp(-apart).sum(1) - 1], 1)
