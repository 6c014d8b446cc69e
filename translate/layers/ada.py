"""Adaptive discriminator augmentation: the transformations, and how often they happen (Karras et al., 2020)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HAPPENS, AMOUNTS = (8, 5), (10, 5)
"""For geometry and colour: how many transformations there are, and how many numbers say how much."""
NUMBERS = sum(HAPPENS) + sum(AMOUNTS)
"""Random numbers that one image needs."""

TARGET = 0.6
"""What the mean sign of D on real images is held at (section 3.1)."""
IMAGES = 500_000
"""Images in which the probability may go from 0 to 1 (appendix C)."""
INTERVAL = 4
"""Updates of D between two moves of the probability (section 3.1)."""

LUMA = 1 / math.sqrt(3)


class Probability(nn.Module):
    """How often the images of one discriminator are augmented; moved so that it overfits no more than it should.

    All state is in buffers, and nothing is read on the host.
    """

    p: Tensor
    signs: Tensor
    updates: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("p", torch.zeros(()))
        self.register_buffer("signs", torch.zeros(()))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def follow(self, sign: Tensor, batch: int, target: float = TARGET) -> None:
        """Note the mean sign of D on ``batch`` real images; every `INTERVAL` times move the probability."""
        self.signs += sign
        self.updates += 1
        due = self.updates % INTERVAL == 0
        step = torch.sign(self.signs / INTERVAL - target) * (batch * INTERVAL / IMAGES)
        self.p.copy_(torch.where(due, self.p + step, self.p).clamp(0, 1))
        self.signs.copy_(torch.where(due, torch.zeros_like(self.signs), self.signs))


def ada_augment(images: Tensor, u: Tensor, p: Tensor) -> Tensor:
    """Pixel blitting, geometry and colour, each with probability ``p``: (N, C, H, W) in [-1, 1] -> the same shape.

    ``u``: (N, `NUMBERS`), uniform in [0, 1). The ranges are those of the paper's appendix B. Geometry is one bilinear
    resampling with reflected borders, where the paper filters with wavelets first. Images of other than 3 channels get
    brightness and contrast alone.
    """
    geometry, colour, moved, tinted = u.to(torch.float32).split([*HAPPENS, *AMOUNTS], 1)
    return _colour(_geometry(images, geometry, moved, p), colour, tinted, p)


def _geometry(images: Tensor, happens: Tensor, amount: Tensor, p: Tensor) -> Tensor:
    """One affine map for each image: flip, quarter turn, whole shift, scale, turn, stretch, turn, fractional shift."""
    height, width = images.shape[2:]
    flip, quarter, right, down, size, first, stretch, second, aside, along = amount.T
    flips, quarters, shifts, scales, _, stretches, _, moves = (happens < p).T
    # Two turns, before and after the stretch, so that the chance of either is p.
    turns = (happens < 1 - torch.sqrt(1 - p)).T
    one = torch.ones_like(flip)
    zero = torch.zeros_like(flip)
    mirrored = torch.where(flips & (flip < 0.5), -one, one)
    scale = torch.where(scales, torch.exp2(0.2 * _normal(size)), one)
    longer = torch.where(stretches, torch.exp2(0.2 * _normal(stretch)), one)
    whole = (
        _scaling(mirrored, one)
        @ _rotation(torch.where(quarters, (quarter * 4).floor() * (math.pi / 2), zero))
        @ _shift(torch.where(shifts, _whole(right, width), zero), torch.where(shifts, _whole(down, height), zero))
        @ _scaling(scale, scale)
        @ _rotation(torch.where(turns[4], (2 * first - 1) * math.pi, zero))
        @ _scaling(longer, 1 / longer)
        @ _rotation(torch.where(turns[6], (2 * second - 1) * math.pi, zero))
        @ _shift(torch.where(moves, 0.25 * _normal(aside), zero), torch.where(moves, 0.25 * _normal(along), zero))
    )
    aspect = torch.tensor([width / height, 1.0, 1.0], device=images.device)
    theta = whole * aspect / aspect[:, None]  # turns are turns of pixels, not of the unit square
    x, y = F.affine_grid(theta[:, :2], list(images.shape), align_corners=False).unbind(-1)
    return _sampled(images, ((x + 1) * width - 1) / 2, ((y + 1) * height - 1) / 2)


def _sampled(images: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Bilinear values at the places (N, H, W) in pixels; by indexing, as R1 derives twice, which grid_sample cannot."""
    height, width = images.shape[2:]
    x, y = _reflected(x, width), _reflected(y, height)
    left, top = x.floor(), y.floor()
    across, down = (x - left)[..., None].to(images.dtype), (y - top)[..., None].to(images.dtype)
    columns = left.long(), (left.long() + 1).clamp(max=width - 1)
    rows = top.long(), (top.long() + 1).clamp(max=height - 1)
    number = torch.arange(images.shape[0], device=images.device)[:, None, None]
    pixels = images.permute(0, 2, 3, 1)
    upper, lower = (
        pixels[number, row, columns[0]] * (1 - across) + pixels[number, row, columns[1]] * across for row in rows
    )
    return (upper * (1 - down) + lower * down).permute(0, 3, 1, 2)


def _reflected(place: Tensor, side: int) -> Tensor:
    """Places beyond an edge, mirrored at it."""
    place = (place + 0.5) % (2 * side)
    return (torch.where(place >= side, 2 * side - place, place) - 0.5).clamp(0, side - 1)


def _colour(images: Tensor, happens: Tensor, amount: Tensor, p: Tensor) -> Tensor:
    """Brightness, contrast, luma flip, hue and saturation, one 4x4 matrix for each image."""
    bright, contrast, flip, hue, saturation = amount.T
    shifts, factors, flips, turns, saturates = (happens < p).T
    one, zero = torch.ones_like(bright), torch.zeros_like(bright)
    shift = torch.where(shifts, 0.2 * _normal(bright), zero)[:, None, None, None].to(images.dtype)
    factor = torch.where(factors, torch.exp2(0.5 * _normal(contrast)), one)[:, None, None, None].to(images.dtype)
    x = (images + shift) * factor
    if images.shape[1] != 3:
        return x
    axis = torch.full((3, 1), LUMA, device=images.device)
    luma = axis @ axis.T
    identity = torch.eye(3, device=images.device)
    mirror = identity - torch.where(flips & (flip < 0.5), 2 * one, zero)[:, None, None] * luma
    turn = _about_grey(torch.where(turns, (2 * hue - 1) * math.pi, zero), luma, identity)
    strength = torch.where(saturates, torch.exp2(_normal(saturation)), one)[:, None, None]
    matrix = (luma + (identity - luma) * strength) @ turn @ mirror
    return torch.einsum("nij,njhw->nihw", matrix.to(x.dtype), x)


def _about_grey(angle: Tensor, luma: Tensor, identity: Tensor) -> Tensor:
    """Rotations about the grey axis (Rodrigues), (N, 3, 3)."""
    cross = LUMA * torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]], device=angle.device)
    cosine, sine = angle.cos()[:, None, None], angle.sin()[:, None, None]
    return luma + (identity - luma) * cosine + cross * sine


def _normal(u: Tensor) -> Tensor:
    """Uniform in [0, 1) to N(0, 1)."""
    return math.sqrt(2) * torch.erfinv((2 * u - 1).clamp(-1 + 1e-6, 1 - 1e-6))


def _whole(u: Tensor, side: int) -> Tensor:
    """A shift by whole pixels, at most an eighth of the side, in units of half the side."""
    return ((2 * u - 1) * (0.125 * side)).round() * (2 / side)


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    return torch.diag_embed(torch.stack([x, y, torch.ones_like(x)], 1))


def _rotation(angle: Tensor) -> Tensor:
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    rows = [angle.cos(), -angle.sin(), zero, angle.sin(), angle.cos(), zero, zero, zero, one]
    return torch.stack(rows, 1).reshape(-1, 3, 3)


def _shift(x: Tensor, y: Tensor) -> Tensor:
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return torch.stack([one, zero, x, zero, one, y, zero, zero, one], 1).reshape(-1, 3, 3)
