"""Degradation of high-resolution images as photos suffer it (Wang et al., 2021, section 3).

Blur, resize, noise and JPEG, twice over, and the overshoot of a sharpening filter: on the device of the images, with
parameters drawn for each image. The distributions are those of the authors' code; the ranges are settings.

Theirs draws the resizes once for a batch, and needs a pool of pairs to mix batches; and its first resize, which is by a
factor that leaves a fraction of a pixel over, shifts the picture by up to a few pixels. Here nothing is shifted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Annotated, Literal, TypeAlias

import torch
from annotated_types import Ge, Gt, Le
from torch import Generator, Tensor
from torch.nn import functional as F

from translate.data.jpeg import jpeg
from translate.errors import UsageError
from translate.layers.sharpen import sharpened

Share: TypeAlias = Annotated[float, Ge(0), Le(1)]
Size: TypeAlias = Annotated[float, Gt(0)]
Weight: TypeAlias = Annotated[float, Ge(0)]
Quality: TypeAlias = Annotated[float, Ge(1), Le(100)]

_LUMA = (0.2989, 0.587, 0.114)


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """Ranges of the degradation, for the first round and then for the second; those of the authors' x4 model."""

    degrade_sharpen: Annotated[bool, "degrade the sharpened picture, not the picture itself"] = True
    degrade_blur: Annotated[tuple[Share, Share], "share of images that are blurred, in both rounds"] = (1.0, 0.8)
    degrade_sigma: Annotated[
        tuple[Size, Size, Size, Size], "least and largest width of the blur in pixels, in both rounds"
    ] = (0.2, 3.0, 0.2, 1.5)
    degrade_kernels: Annotated[
        tuple[Weight, Weight, Weight, Weight, Weight, Weight],
        "how often blurs are Gaussian, generalised Gaussian and plateau-shaped, each round and then oblong",
    ] = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
    degrade_shape: Annotated[
        tuple[Size, Size, Size, Size], "exponents of the generalised Gaussian and of the plateau-shaped kernels"
    ] = (0.5, 4.0, 1.0, 2.0)
    degrade_sinc: Annotated[
        tuple[Share, Share, Share], "share of blurs that are a sinc filter, in both rounds, and of the final one"
    ] = (0.1, 0.1, 0.8)
    degrade_resize: Annotated[
        tuple[Share, Share, Share, Share], "share that is enlarged and share that is shrunk, in both rounds"
    ] = (0.2, 0.7, 0.3, 0.4)
    degrade_factor: Annotated[
        tuple[Size, Size, Size, Size], "least and largest factor of the resize, in both rounds"
    ] = (0.15, 1.5, 0.3, 1.2)
    degrade_noise: Annotated[tuple[Share, Share], "share of noise that is Gaussian, not Poisson, in both rounds"] = (
        0.5,
        0.5,
    )
    degrade_gaussian: Annotated[
        tuple[Size, Size, Size, Size], "least and largest deviation of Gaussian noise in grey levels, in both rounds"
    ] = (1.0, 30.0, 1.0, 25.0)
    degrade_poisson: Annotated[
        tuple[Size, Size, Size, Size], "least and largest scale of Poisson noise, in both rounds"
    ] = (0.05, 3.0, 0.05, 2.5)
    degrade_grey: Annotated[tuple[Share, Share], "share of noise that is grey, in both rounds"] = (0.4, 0.4)
    degrade_jpeg: Annotated[
        tuple[Quality, Quality, Quality, Quality], "least and largest JPEG quality, in both rounds"
    ] = (30.0, 95.0, 30.0, 95.0)

    def check_ranges(self) -> None:
        """Raise ``UsageError`` for a range whose least value is the larger one, and for shares above 1 together."""
        for name in ("sigma", "shape", "factor", "gaussian", "poisson", "jpeg"):
            values = getattr(self, f"degrade_{name}")
            if values[0] > values[1] or values[2] > values[3]:
                raise UsageError(f"--degrade-{name} {_words(values)}: expected the least value before the largest")
        if not sum(self.degrade_kernels):
            raise UsageError("--degrade-kernels: expected one weight above 0 or more")
        up, down, up_2, down_2 = self.degrade_resize
        if up + down > 1 or up_2 + down_2 > 1:
            raise UsageError(f"--degrade-resize {_words(self.degrade_resize)}: expected shares of at most 1 together")

    def changed(self) -> list[str]:
        """The flags of the ranges that are not the authors'."""
        names = [field.name for field in fields(Degradation)]
        return [f"--{name.replace('_', '-')}" for name in names if getattr(self, name) != getattr(AUTHORS, name)]

    def order(self, number: Literal[0, 1]) -> Order:
        """The ranges of one round."""
        first, end = 2 * number, 2 * number + 2
        enlarge, shrink = self.degrade_resize[first:end]
        return Order(
            blur=self.degrade_blur[number],
            sigma=self.degrade_sigma[first:end],
            kernels=self.degrade_kernels,
            exponents=self.degrade_shape,
            sinc=self.degrade_sinc[number],
            enlarge=enlarge,
            shrink=shrink,
            factor=self.degrade_factor[first:end],
            noise=self.degrade_noise[number],
            gaussian=self.degrade_gaussian[first:end],
            poisson=self.degrade_poisson[first:end],
            grey=self.degrade_grey[number],
            jpeg=self.degrade_jpeg[first:end],
        )


AUTHORS = Degradation()


@dataclass(frozen=True)
class Order:
    """Ranges of one of the two rounds: probabilities are shares of 1, the noise's strength is in grey levels."""

    blur: float
    sigma: tuple[float, ...]
    kernels: tuple[float, ...]
    exponents: tuple[float, float, float, float]
    sinc: float
    enlarge: float
    shrink: float
    factor: tuple[float, ...]
    noise: float
    gaussian: tuple[float, ...]
    poisson: tuple[float, ...]
    grey: float
    jpeg: tuple[float, ...]


def _words(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in values)


def degrade(high: Tensor, scale: int, generator: Generator, ranges: Degradation = AUTHORS) -> Tensor:
    """Low-resolution versions of images: (N, C, H, W) in [-1, 1], C 1 or 3 -> (N, C, H / scale, W / scale).

    ``generator`` is one of the CPU, whatever the device of ``high``; equal generators give equal results on one kind of
    device. The result is rounded to 8 bits, as a file would be. Nothing is differentiated through.
    """
    with torch.no_grad(), torch.autocast(high.device.type, enabled=False):
        start = sharpened(high.float()) if ranges.degrade_sharpen else high.float()
        images = ((start + 1) / 2).split(1)
        low = torch.cat([_degrade_one(image, scale, ranges, _Dice(generator, high.device)) for image in images])
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

    def weighted(self, weights: tuple[float, ...]) -> int:
        point, total = self.uniform(0, sum(weights)), 0.0
        for number, weight in enumerate(weights):
            total += weight
            if point < total:
                return number
        return max(number for number, weight in enumerate(weights) if weight)


def _degrade_one(image: Tensor, scale: int, ranges: Degradation, dice: _Dice) -> Tensor:
    height, width = image.shape[2] // scale, image.shape[3] // scale
    first, second = ranges.order(0), ranges.order(1)
    x = _round(image, (image.shape[2], image.shape[3]), first, dice)
    x = _jpeg(x, first, dice)
    x = _round(x, (height, width), second, dice)

    def to_size(x: Tensor) -> Tensor:
        x = _resize(x, height, width, dice)
        return _filter(x, _sinc_kernel(dice, always=3)) if dice.chance(ranges.degrade_sinc[2]) else x

    # Section 3.4 and the authors' code: resizing and the sinc filter stay together, before or after the last JPEG.
    x = _jpeg(to_size(x), second, dice) if dice.chance(0.5) else to_size(_jpeg(x, second, dice))
    return x.clamp(0, 1)


def _round(x: Tensor, base: tuple[int, int], order: Order, dice: _Dice) -> Tensor:
    """Blur, resize to a random multiple of ``base`` (height, width), noise."""
    if dice.chance(order.blur):
        x = _filter(x, _sinc_kernel(dice) if dice.chance(order.sinc) else _blur_kernel(order, dice))
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
    radius = kernel.shape[-1] // 2
    # As the authors pad; where a patch is too narrow to be mirrored, its border is repeated.
    border = "reflect" if radius < min(x.shape[2:]) else "replicate"
    padded = F.pad(x, (radius,) * 4, mode=border).flatten(0, 1)[:, None]
    return F.conv2d(padded, kernel[None, None].to(x)).view(x.shape)


def _offsets(dice: _Dice) -> tuple[Tensor, Tensor]:
    """x and y from the centre of a kernel of 7 to 21 taps."""
    radius = 3 + dice.one_of(8)
    offset = torch.arange(-radius, radius + 1, dtype=torch.float32)
    y, x = torch.meshgrid(offset, offset, indexing="ij")
    return x, y


def _blur_kernel(order: Order, dice: _Dice) -> Tensor:
    """Section 3.1: Gaussian, generalised Gaussian or plateau-shaped, round or oblong."""
    x, y = _offsets(dice)
    choice = dice.weighted(order.kernels)
    isotropic = choice % 2 == 0
    sigma_u = dice.uniform(*order.sigma)
    sigma_v = sigma_u if isotropic else dice.uniform(*order.sigma)
    angle = 0.0 if isotropic else dice.uniform(-math.pi, math.pi)
    u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    distance = (u / sigma_u) ** 2 + (v / sigma_v) ** 2
    if choice < 2:
        kernel = torch.exp(-distance / 2)
    elif choice < 4:
        kernel = torch.exp(-(distance ** _exponent(*order.exponents[:2], dice)) / 2)
    else:
        kernel = 1 / (1 + distance ** _exponent(*order.exponents[2:], dice))
    return kernel / kernel.sum()


def _exponent(low: float, high: float, dice: _Dice) -> float:
    """Below 1 half of the time, above it otherwise, as in the authors' code: 1 is the plain shape of both kernels."""
    middle = min(max(1.0, low), high)
    return dice.uniform(low, middle) if dice.chance(0.5) else dice.uniform(middle, high)


def _sinc_kernel(dice: _Dice, always: int | None = None) -> Tensor:
    """Section 3.4, equation 6: the circular low-pass filter with a random cutoff, which rings and overshoots.

    The cutoff is at least pi / 3, or pi / 5 for kernels of 13 taps or more; ``always``: pi / ``always`` for all.
    """
    x, y = _offsets(dice)
    cutoff = dice.uniform(math.pi / (always or (3 if len(x) < 13 else 5)), math.pi)
    radius = torch.sqrt(x**2 + y**2)
    centre = len(x) // 2
    radius[centre, centre] = 1
    kernel: Tensor = cutoff * torch.special.bessel_j1(cutoff * radius) / (2 * math.pi * radius)
    kernel[centre, centre] = cutoff**2 / (4 * math.pi)
    return kernel / kernel.sum()


def _noise(x: Tensor, order: Order, dice: _Dice) -> Tensor:
    """Section 3.2: Gaussian or Poisson, of each colour for itself or grey; x in [0, 1]."""
    grey = dice.chance(order.grey)
    if dice.chance(order.noise):
        shape = (1, 1 if grey else x.shape[1], *x.shape[2:])
        noise = torch.randn(shape, generator=dice.device, device=x.device) * (dice.uniform(*order.gaussian) / 255)
    else:
        levels = ((_luma(x) if grey else x).clamp(0, 1) * 255).round() / 255
        # As in the authors' code: as many photons as there are levels in the picture, to the next power of 2.
        photons = 2.0 ** math.ceil(math.log2(len(levels.unique())))
        noise = torch.poisson(levels * photons, generator=dice.device) / photons - levels
        noise = noise * dice.uniform(*order.poisson)
    return (x + noise).clamp(0, 1)


def _luma(x: Tensor) -> Tensor:
    if x.shape[1] != len(_LUMA):
        return x.mean(dim=1, keepdim=True)
    weights = torch.tensor(_LUMA, device=x.device).view(1, -1, 1, 1)
    return (x * weights).sum(dim=1, keepdim=True)


def _jpeg(x: Tensor, order: Order, dice: _Dice) -> Tensor:
    """Section 3.3."""
    return jpeg(x.clamp(0, 1), dice.uniform(*order.jpeg))
