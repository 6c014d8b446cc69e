"""How near an image is to the one that it should be: PSNR and SSIM as the super-resolution papers measure them, L1."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Channel = Literal["y", "rgb"]


def luma(images: Tensor) -> Tensor:
    """The Y of ITU-R BT.601 (16 to 235), as MATLAB's ``rgb2ycbcr``: (N, 3, H, W) in [0, 255] -> (N, 1, H, W).

    One-channel images pass as they are.
    """
    if images.shape[1] == 1:
        return images
    weights = images.new_tensor([65.481, 128.553, 24.966]).view(1, 3, 1, 1) / 255
    return (images * weights).sum(dim=1, keepdim=True) + 16


def psnr(output: Tensor, target: Tensor, *, border: int = 0, channel: Channel = "y") -> Tensor:
    """Peak signal-to-noise ratio in dB of each image, (N,): (N, C, H, W) in [-1, 1], rounded to 8 bits first.

    ``border``: pixels left out along each side (the papers: as many as the scale). ``channel``: on luma, as nearly all
    papers, or on all colours. The peak is 255. Raises ``ValueError`` where shapes differ or nothing is left to compare.
    """
    output, target = _comparable(output, target, border, channel)
    error = (output - target).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(255.0**2 / error)


def ssim(output: Tensor, target: Tensor, *, border: int = 0, channel: Channel = "y") -> Tensor:
    """Structural similarity of each image, (N,) in [-1, 1] (Wang et al., 2004): 11x11 Gaussian window, sigma 1.5.

    Input, ``border`` and ``channel`` as for ``psnr``; only windows that lie inside the image count.
    """
    output, target = _comparable(output, target, border, channel)
    if min(output.shape[2:]) < 11:
        raise ValueError(f"SSIM needs 11 x 11 pixels inside the border, got {tuple(output.shape[2:])}")
    offset = torch.arange(11, dtype=output.dtype, device=output.device) - 5
    taps = torch.exp(-(offset**2) / (2 * 1.5**2))
    taps = taps / taps.sum()

    def blur(images: Tensor) -> Tensor:
        planes = images.flatten(0, 1).unsqueeze(1)
        return F.conv2d(F.conv2d(planes, taps.view(1, 1, 11, 1)), taps.view(1, 1, 1, 11))

    mean_o, mean_t = blur(output), blur(target)
    var_o = blur(output**2) - mean_o**2
    var_t = blur(target**2) - mean_t**2
    covariance = blur(output * target) - mean_o * mean_t
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    index = (2 * mean_o * mean_t + c1) * (2 * covariance + c2)
    index = index / ((mean_o**2 + mean_t**2 + c1) * (var_o + var_t + c2))
    return index.view(*output.shape[:2], -1).mean(dim=(1, 2))


def l1(output: Tensor, target: Tensor, *, border: int = 0, channel: Channel = "rgb") -> Tensor:
    """Mean absolute difference of each image, (N,), as a share of the whole range: 0 (equal) to 1.

    Input, ``border`` and ``channel`` as for ``psnr``.
    """
    output, target = _comparable(output, target, border, channel)
    return (output - target).abs().mean(dim=(1, 2, 3)) / 255


def edge_agreement(output: Tensor, target: Tensor) -> Tensor:
    """Correlation of the edges of each pair of images, (N,) in [-1, 1]: whether what was in one place still is.

    (N, C, H, W) in [-1, 1], of one height and width; edges are the lengths of Sobel's gradients of the luma. Where an
    image has no edges the correlation is 0.
    """
    if output.shape[2:] != target.shape[2:]:
        raise ValueError(f"images of different sizes: {tuple(output.shape)} and {tuple(target.shape)}")
    first, second = (_edges(images) for images in (output, target))
    first, second = first - first.mean(1, keepdim=True), second - second.mean(1, keepdim=True)
    lengths = first.norm(dim=1) * second.norm(dim=1)
    agreement: Tensor = (first * second).sum(1) / lengths.clamp_min(1e-12)
    return agreement


def _edges(images: Tensor) -> Tensor:
    grey = luma(((images.double() + 1) * 127.5)[:, :3])
    across = grey.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]).view(1, 1, 3, 3)
    gradient = F.conv2d(grey, torch.cat([across, across.transpose(2, 3)]))
    return gradient.square().sum(1).sqrt().flatten(1)


def _comparable(output: Tensor, target: Tensor, border: int, channel: Channel) -> tuple[Tensor, Tensor]:
    if output.shape != target.shape:
        raise ValueError(f"images of different shapes: {tuple(output.shape)} and {tuple(target.shape)}")
    if min(output.shape[2:]) <= 2 * border:
        raise ValueError(f"a border of {border} leaves nothing of {tuple(output.shape[2:])}")
    inner = slice(border, -border or None)
    pair = []
    for images in (output, target):
        eight_bit = ((images.double() + 1) * 127.5).round().clamp(0, 255)
        pair.append((luma(eight_bit) if channel == "y" else eight_bit)[..., inner, inner])
    return pair[0], pair[1]
