"""Batch norm whose statistics at inference fit latents that are drawn closer to the middle (Brock et al., 2019)."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

ROWS = 8
"""How many truncations have statistics of their own; between them these are interpolated."""

RATE = 0.05
"""Share of a new batch in them, once there were twenty: a memory of some 160 steps, as each row has its turn in 8."""


class StandingNorm(nn.Module):
    """Batch norm without weights that keeps running statistics for ``ROWS`` truncations: (N, C, H, W) -> same shape.

    ``place`` is None in training, which is that of any batch norm. With a row (1,), int64, in train mode it normalises
    by the batch and takes its statistics into that row: "standing statistics", which a generator gathers as it trains.
    In eval mode ``place`` (N,) is each sample's position between row 0 and row ``ROWS - 1``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False, track_running_stats=True)
        self.register_buffer("mean", torch.zeros(ROWS, channels))
        self.register_buffer("variance", torch.ones(ROWS, channels))
        self.register_buffer("visits", torch.zeros(ROWS))

    mean: Tensor
    variance: Tensor
    visits: Tensor

    def forward(self, x: Tensor, place: Tensor | None = None) -> Tensor:
        if place is None:
            return cast(Tensor, self.norm(x))
        if self.training:
            variance, mean = (moment[None] for moment in torch.var_mean(x, (0, 2, 3), correction=0))
            share = (1 / (1 + self.visits[place])).clamp(min=RATE)[:, None]
            for kept, new in ((self.mean, mean), (self.variance, variance)):
                kept.index_copy_(0, place, torch.lerp(kept[place], new.to(kept.dtype), share))
            self.visits.index_add_(0, place, torch.ones_like(self.visits[place]))
        else:
            low = place.floor().clamp(0, ROWS - 2).long()
            share = (place - low)[:, None].to(self.mean.dtype)
            mean, variance = (torch.lerp(kept[low], kept[low + 1], share) for kept in (self.mean, self.variance))
        scale = (variance + self.norm.eps).rsqrt()
        return (x - mean[:, :, None, None].to(x.dtype)) * scale[:, :, None, None].to(x.dtype)


class ConditionalNorm(nn.Module):
    """A norm whose weights and biases are linear in a condition (N, ``given``) (de Vries et al., 2017).

    The weights are 1 plus what the condition gives.
    """

    def __init__(self, channels: int, given: int) -> None:
        super().__init__()
        self.norm = StandingNorm(channels)
        self.gain = nn.Linear(given, channels, bias=False)
        self.shift = nn.Linear(given, channels, bias=False)

    def forward(self, x: Tensor, condition: Tensor, place: Tensor | None = None) -> Tensor:
        gain, shift = (layer(condition)[:, :, None, None] for layer in (self.gain, self.shift))
        return cast(Tensor, self.norm(x, place) * (1 + gain) + shift)


def kept_share(truncation: Tensor) -> Tensor:
    """The share of standard normal numbers that are no larger than ``truncation``, itself in [0, 1]."""
    return torch.erf(truncation / math.sqrt(2))


def truncated(z: Tensor, kept: Tensor) -> Tensor:
    """Standard normal latents (N, latent) to ones of the truncated normal distribution that keeps a share (N,) of them.

    By the distribution function and its inverse: nothing is drawn anew, and neighbours remain neighbours.
    """
    return math.sqrt(2) * inverse_erf(kept[:, None] * torch.erf(z / math.sqrt(2)))


def inverse_erf(x: Tensor) -> Tensor:
    """The inverse of the error function for x in (-1, 1), to 4e-7 of its size (Giles, 2010); ONNX has none."""
    w = -torch.log(((1 - x) * (1 + x)).clamp(min=1e-37))
    near, far = w - 2.5, w.clamp(min=0).sqrt() - 3
    return x * torch.where(w < 5, _polynomial(near, _NEAR), _polynomial(far, _FAR))


_NEAR = (
    *(2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503),
    *(-0.00417768164, 0.246640727, 1.50140941),
)
_FAR = (
    *(-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613),
    *(0.00943887047, 1.00167406, 2.83297682),
)


def _polynomial(x: Tensor, factors: tuple[float, ...]) -> Tensor:
    total = torch.full_like(x, factors[0])
    for factor in factors[1:]:
        total = total * x + factor
    return total
