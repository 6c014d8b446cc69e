"""Layers that show a discriminator how alike the samples of a batch are."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from translate.errors import UsageError


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


def with_deviation(x: Tensor, group: int) -> Tensor:
    """Add a channel with the mean standard deviation over the images of a group (Karras et al., 2018, section 3).

    (N, C, H, W) -> (N, C + 1, H, W). Groups are of ``group`` images that follow each other, so that micro-batches and
    processes of whole groups change nothing. Raises ``UsageError`` where N is no multiple of ``group``.
    """
    count, _, height, width = x.shape
    if count % group:
        raise UsageError(f"--group {group}: expected a multiple of it as images per process and part, found {count}")
    grouped = x.reshape(-1, group, *x.shape[1:])
    grouped = grouped.to(torch.promote_types(x.dtype, torch.float32))
    deviation = (grouped.var(1, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
    plane = deviation.repeat_interleave(group).reshape(count, 1, 1, 1).expand(-1, 1, height, width)
    return torch.cat([x, plane.to(x.dtype)], 1)
