"""StyleGAN's generator (Karras et al., 2019 and 2020): a mapping network, and styles that steer each convolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.errors import UsageError
from translate.layers.equalized import EqualLinear, PixelNorm, rectified
from translate.layers.factors import Factors
from translate.layers.fir import up_by_two

Style = Literal["modulation", "adain"]
"""How a style acts: on the weights (StyleGAN2), or on the normalised features (StyleGAN)."""


def resolutions(size: int) -> list[int]:
    """The sides from 4 to 7 pixels on, doubled up to ``size``. Raises ``UsageError`` where there are none."""
    start = size
    while start > 7 and start % 2 == 0:
        start //= 2
    if not 4 <= start <= 7:
        raise UsageError(f"--size {size}: expected 4, 5, 6 or 7 times a power of two")
    return [start * 2**k for k in range(int(math.log2(size // start)) + 1)]


def channels_at(side: int, base: int, most: int) -> int:
    """Channels of the features of a side: ``base`` shared by the rows, at most ``most``."""
    return max(1, min(most, base // side))


class Mapping(nn.Module):
    """Latents to styles, (N, latent) -> (N, width), and the running mean of what comes out (for truncation)."""

    mean: Tensor

    def __init__(self, latent: int, width: int, layers: int) -> None:
        super().__init__()
        sizes = [latent] + [width] * layers
        self.norm = PixelNorm()
        self.layers = nn.ModuleList(EqualLinear(a, b, rate=0.01) for a, b in pairwise(sizes))
        self.register_buffer("mean", torch.zeros(width))

    def forward(self, z: Tensor) -> Tensor:
        w: Tensor = self.norm(z)
        for layer in self.layers:
            w = rectified(layer(w))
        return w


class StyledConv(nn.Module):
    """A 3x3 convolution under a style, then noise, bias and rectifier; ``up`` doubles the side first."""

    noise: Tensor

    def __init__(self, inputs: int, outputs: int, width: int, side: int, style: Style, up: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.scale = 1 / math.sqrt(inputs * 9)
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.style, self.up = style, up
        self.affine = EqualLinear(width, inputs, bias=1.0) if style == "modulation" else EqualLinear(width, 2 * outputs)
        self.register_buffer("noise", torch.randn(1, 1, side, side))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        # What the filter spreads over the edge takes part, as where a transposed convolution comes first.
        padding, x = (0, up_by_two(x, margin=1)) if self.up else (1, x)
        weight, style = self.weight * self.scale, self.affine(w)
        if self.style == "modulation":
            x = modulated(x, weight, style, padding=padding)
        else:
            x = F.conv2d(x, weight, padding=padding)
        x = x + self.strength * (self.noise if noise is None else noise).to(x.dtype)
        x = rectified(x + self.bias[:, None, None])
        return x if self.style == "modulation" else _adain(x, style)


def modulated(x: Tensor, weight: Tensor, style: Tensor, *, demodulate: bool = True, padding: int = 0) -> Tensor:
    """A convolution whose weights are scaled by a style, and scaled back to unit variance (2020, equations 1 and 3).

    (N, I, H, W), (O, I, k, k) and (N, I) -> (N, O, ...), by the ``padding``. The scaling is moved to the features
    before and after, which is the same map without weights for each image.
    """
    y = F.conv2d(x * style[:, :, None, None], weight, padding=padding)
    if not demodulate:
        return y
    power = torch.einsum("ni,oi->no", style.square(), weight.square().sum((2, 3)))
    return y * torch.rsqrt(power + 1e-8)[:, :, None, None]


def _adain(x: Tensor, style: Tensor) -> Tensor:
    """Adaptive instance norm (2019, equation 1)."""
    scale, shift = style[:, :, None, None].chunk(2, 1)
    centred = x - x.mean((2, 3), keepdim=True)
    return centred * torch.rsqrt(centred.square().mean((2, 3), keepdim=True) + 1e-8) * (scale + 1) + shift


class ToImage(nn.Module):
    """Features to an image by a 1x1 convolution under a style, without demodulation."""

    def __init__(self, inputs: int, channels: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.affine = EqualLinear(width, inputs, bias=1.0)
        self.scale = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return modulated(x, self.weight * self.scale, self.affine(w), demodulate=False) + self.bias[:, None, None]


class Synthesis(nn.Module):
    """Styles to images: (N, layers, width) -> (N, C, size, size), summed over the sides (2020, figure 7, skips)."""

    def __init__(
        self, channels: int, size: int, *, width: int = 512, base: int = 32768, most: int = 512, style: Style
    ) -> None:
        super().__init__()
        sides = resolutions(size)
        counts = [channels_at(side, base, most) for side in sides]
        self.constant = nn.Parameter(torch.randn(1, counts[0], sides[0], sides[0]))
        before = [counts[0], *counts]
        convs: list[nn.Module] = []
        for k, (side, count) in enumerate(zip(sides, counts, strict=True)):
            if k:
                convs.append(StyledConv(before[k], count, width, side, style, up=True))
            convs.append(StyledConv(count, count, width, side, style, up=False))
        self.convs = nn.ModuleList(convs)
        self.images = nn.ModuleList(ToImage(count, channels, width) for count in counts)

    def forward(self, w: Tensor, noises: Sequence[Tensor] | None = None) -> Tensor:
        """``noises``: (N, 1, side, side) for each convolution; fixed ones if None, so that a latent is one image."""
        x = self.constant.expand(w.shape[0], -1, -1, -1)
        image: Tensor | None = None
        added: Sequence[Tensor | None] = noises or [None] * len(self.convs)
        convs = iter(zip(self.convs, w.unbind(1), added, strict=True))
        for k, to_image in enumerate(self.images):
            for _ in range(2 if k else 1):
                conv, style, noise = next(convs)
                x = conv(x, style, noise)
            image = to_image(x, style) if image is None else up_by_two(image) + to_image(x, style)
        assert image is not None
        return image


class StyleGANGenerator(nn.Module):
    """Mapping and synthesis. ``truncation``: (N,), how far styles go from their mean (2019, appendix B).

    ``distances``: (N, directions), how far they go in the directions that change pictures most, which are there once
    weights are loaded.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        *,
        latent: int = 512,
        width: int = 512,
        mapping: int = 8,
        base: int = 32768,
        most: int = 512,
        style: Style = "modulation",
    ) -> None:
        super().__init__()
        self.mapping = Mapping(latent, width, mapping)
        self.synthesis = Synthesis(channels, size, width=width, base=base, most=most, style=style)
        self.factors = Factors(width)
        self.register_load_state_dict_post_hook(_factorise)  # type: ignore[no-untyped-call]

    def styles(self, z: Tensor) -> Tensor:
        """One style for all layers, (N, latent) -> (N, layers, width)."""
        w: Tensor = self.mapping(z)[:, None]
        return w.expand(-1, len(self.synthesis.convs), -1)

    def forward(self, z: Tensor, truncation: Tensor, distances: Tensor | None = None) -> Tensor:
        w = self.truncated(z, truncation)
        if distances is not None:
            w = w + self.factors(distances)[:, None]
        image: Tensor = self.synthesis(w)
        return image

    def truncated(self, z: Tensor, truncation: Tensor) -> Tensor:
        """The styles of latents, pulled to their mean: (N, latent) -> (N, layers, width)."""
        w, mean = self.styles(z), self.mapping.mean
        return mean + truncation[:, None, None].to(w.dtype) * (w - mean)

    def mix(self, coarse: Tensor, fine: Tensor, crossover: Tensor, truncation: Tensor) -> Tensor:
        """Images with the styles of one latent in the first ``crossover`` (N,) layers, of another one in the others."""
        first, others = self.truncated(coarse, truncation), self.truncated(fine, truncation)
        layer = torch.arange(first.shape[1], device=first.device)
        image: Tensor = self.synthesis(torch.where((layer < crossover[:, None])[:, :, None], first, others))
        return image


def _factorise(generator: nn.Module, keys: object) -> None:
    """Called by torch after it has loaded the weights."""
    assert isinstance(generator, StyleGANGenerator)
    parts = (*generator.synthesis.convs, *generator.synthesis.images)
    generator.factors.renew([part.affine.weight for part in parts])
