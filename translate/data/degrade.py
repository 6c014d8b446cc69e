"""Degradation of high-resolution images as photos suffer it (Real-ESRGAN, Wang et al., 2021, section 3).

Blur, resize, noise and JPEG, twice over, and the overshoot of a sharpening filter: on the device of the images, with
parameters drawn for each image. The ranges are those of the authors' x4 model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

KernelShape = Literal["gaussian", "generalised", "plateau"]


@dataclass(frozen=True)
class Order:
    """Ranges of one of the two rounds: probabilities are shares of 1, the noise's strength is in grey levels."""

    blur: float
    sigma: tuple[float, float]
    enlarge: float
    shrink: float
    factor: tuple[float, float]
    gaussian: tuple[float, float]
    poisson: tuple[float, float]


FIRST = Order(
    blur=1.0, sigma=(0.2, 3), enlarge=0.2, shrink=0.7, factor=(0.15, 1.5), gaussian=(1, 30), poisson=(0.05, 3)
)
SECOND = Order(
    blur=0.8, sigma=(0.2, 1.5), enlarge=0.3, shrink=0.4, factor=(0.3, 1.2), gaussian=(1, 25), poisson=(0.05, 2.5)
)
JPEG_QUALITY = (30.0, 95.0)
GREY_NOISE = 0.4
SINC = 0.1
FINAL_SINC = 0.8


def degrade(high: Tensor, scale: int, generator: Generator) -> Tensor:
    """Low-resolution versions of images: (N, C, H, W) in [-1, 1], C 1 or 3 -> (N, C, H / scale, W / scale).

    ``generator`` is one of the CPU, whatever the device of ``high``; equal generators give equal results on one kind of
    device. The result is rounded to 8 bits, as a file would be. Nothing is differentiated through.
    """
    with torch.no_grad(), torch.autocast(high.device.type, enabled=False):
        images = ((high.float() + 1) / 2).split(1)
        low = torch.cat([_degrade_one(image, scale, _Dice(generator, high.device)) for image in images])
        return (low * 255).round() / 127.5 - 1


class _Dice:
    """Draws: parameters from the CPU's generator, so that no number has to be fetched; noise on the device."""

    def __init__(self, generator: Generator, device: torch.device) -> None:
        self._cpu = generator
        self.device = Generator(device).manual_seed(int(torch.randint(2**62, (), generator=generator)))

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * torch.rand((), generator=self._cpu, dtype=torch.float64).item()

    def chance(self, probability: float) -> bool:
        return self.uniform(0, 1) < probability

    def one_of(self, count: int) -> int:
        return int(self.uniform(0, count))


def _degrade_one(image: Tensor, scale: int, dice: _Dice) -> Tensor:
    height, width = image.shape[2] // scale, image.shape[3] // scale
    x = _round(image, (image.shape[2], image.shape[3]), FIRST, dice)
    x = _jpeg(x, dice)
    x = _round(x, (height, width), SECOND, dice)

    def to_size(x: Tensor) -> Tensor:
        x = _resize(x, height, width, dice)
        return _filter(x, _sinc_kernel(dice)) if dice.chance(FINAL_SINC) else x

    # Section 3.4 and the authors' code: resizing and the sinc filter stay together, before or after the last JPEG.
    x = _jpeg(to_size(x), dice) if dice.chance(0.5) else to_size(_jpeg(x, dice))
    return x.clamp(0, 1)


def _round(x: Tensor, base: tuple[int, int], order: Order, dice: _Dice) -> Tensor:
    """Blur, resize to a random multiple of ``base`` (height, width), noise."""
    if dice.chance(order.blur):
        x = _filter(x, _sinc_kernel(dice) if dice.chance(SINC) else _blur_kernel(order.sigma, dice))
    choice = dice.uniform(0, 1)
    smallest, largest = order.factor
    if choice < order.enlarge:
        factor = dice.uniform(1, largest)
    elif choice < order.enlarge + order.shrink:
        factor = dice.uniform(smallest, 1)
    else:
        factor = 1.0
    x = _resize(x, max(1, int(base[0] * factor)), max(1, int(base[1] * factor)), dice)
    return _noise(x, order, dice)


def _resize(x: Tensor, height: int, width: int, dice: _Dice) -> Tensor:
    mode = ("area", "bilinear", "bicubic")[dice.one_of(3)]  # not antialiased: what careless software does
    return x if x.shape[2:] == (height, width) else F.interpolate(x, size=(height, width), mode=mode)


def _filter(x: Tensor, kernel: Tensor) -> Tensor:
    from kornia.filters import filter2d

    # Replicated borders, since a patch that shrank may be narrower than the kernel.
    filtered: Tensor = filter2d(x, kernel[None].to(x), border_type="replicate")
    return filtered


def _offsets(dice: _Dice) -> tuple[Tensor, Tensor]:
    """x and y from the centre of a kernel of 7 to 21 taps."""
    radius = 3 + dice.one_of(8)
    offset = torch.arange(-radius, radius + 1, dtype=torch.float32)
    y, x = torch.meshgrid(offset, offset, indexing="ij")
    return x, y


def _blur_kernel(sigma: tuple[float, float], dice: _Dice) -> Tensor:
    """Section 3.1: Gaussian (7 in 10), generalised Gaussian or plateau-shaped; more often isotropic than not."""
    x, y = _offsets(dice)
    choice = dice.uniform(0, 1)
    shape: KernelShape = "gaussian" if choice < 0.70 else "generalised" if choice < 0.85 else "plateau"
    isotropic = dice.chance(0.45 / 0.70 if shape == "gaussian" else 0.8)
    sigma_u = dice.uniform(*sigma)
    sigma_v = sigma_u if isotropic else dice.uniform(*sigma)
    angle = 0.0 if isotropic else dice.uniform(-math.pi, math.pi)
    u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    distance = (u / sigma_u) ** 2 + (v / sigma_v) ** 2
    if shape == "gaussian":
        kernel = torch.exp(-distance / 2)
    elif shape == "generalised":
        kernel = torch.exp(-(distance ** dice.uniform(0.5, 4)) / 2)
    else:
        kernel = 1 / (1 + distance ** dice.uniform(1, 2))
    return kernel / kernel.sum()


def _sinc_kernel(dice: _Dice) -> Tensor:
    """Section 3.4, equation 6: the circular low-pass filter with a random cutoff, which rings and overshoots."""
    x, y = _offsets(dice)
    cutoff = dice.uniform(math.pi / (3 if len(x) < 13 else 5), math.pi)
    radius = torch.sqrt(x**2 + y**2)
    centre = len(x) // 2
    radius[centre, centre] = 1
    kernel: Tensor = cutoff * torch.special.bessel_j1(cutoff * radius) / (2 * math.pi * radius)
    kernel[centre, centre] = cutoff**2 / (4 * math.pi)
    return kernel / kernel.sum()


def _noise(x: Tensor, order: Order, dice: _Dice) -> Tensor:
    """Section 3.2: Gaussian or Poisson, of each colour for itself or grey; x in [0, 1]."""
    grey = dice.chance(GREY_NOISE)
    if dice.chance(0.5):
        shape = (1, 1 if grey else x.shape[1], *x.shape[2:])
        noise = torch.randn(shape, generator=dice.device, device=x.device) * (dice.uniform(*order.gaussian) / 255)
    else:
        photons = (x.mean(dim=1, keepdim=True) if grey else x).clamp(0, 1) * 255
        noise = (torch.poisson(photons, generator=dice.device) - photons) / 255 * dice.uniform(*order.poisson)
    return (x + noise).clamp(0, 1)


def _jpeg(x: Tensor, dice: _Dice) -> Tensor:
    """Section 3.3. kornia's JPEG rounds coefficients softly, by up to 1/8 of a step off."""
    from kornia.enhance import jpeg_codec_differentiable

    quality = torch.tensor([dice.uniform(*JPEG_QUALITY)], device=x.device)
    coded: Tensor = jpeg_codec_differentiable(x.clamp(0, 1).expand(-1, 3, -1, -1), quality)
    return coded if x.shape[1] == 3 else coded.mean(dim=1, keepdim=True)
