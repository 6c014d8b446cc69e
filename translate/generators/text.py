"""Generators of pictures from captions: StackGAN's two stages and AttnGAN's three."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from translate.layers.init import init_normal, init_orthogonal
from translate.layers.text import ConditioningAugmentation, WordAttention

FIRST = 4
"""Side of the first map."""


def doublings(size: int) -> int:
    """How often ``FIRST`` is doubled to ``size``. Raises ``ValueError`` for a size that it does not reach."""
    count = (size // FIRST).bit_length() - 1
    if count < 1 or FIRST << count != size:
        raise ValueError(f"{size} is no power of two from {2 * FIRST}")
    return count


class _Up(nn.Sequential):
    """Nearest-neighbour doubling and a 3x3 convolution, with batch norm: (N, before, H, W) -> (N, after, 2H, 2W)."""

    def __init__(self, before: int, after: int, *, gated: bool) -> None:
        super().__init__(
            nn.Upsample(scale_factor=2),
            nn.Conv2d(before, after * (2 if gated else 1), 3, padding=1, bias=False),
            nn.BatchNorm2d(after * (2 if gated else 1)),
            nn.GLU(1) if gated else nn.ReLU(inplace=True),
        )


class _Residual(nn.Module):
    """Two 3x3 convolutions with batch norm around which the map passes."""

    def __init__(self, channels: int, *, gated: bool) -> None:
        super().__init__()
        inner = channels * (2 if gated else 1)
        self.body = nn.Sequential(
            nn.Conv2d(channels, inner, 3, padding=1, bias=False),
            nn.BatchNorm2d(inner),
            nn.GLU(1) if gated else nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.act = nn.Identity() if gated else nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.act(x + self.body(x)))


class FirstStage(nn.Module):
    """Condition and latent to a map, (N, condition + latent) -> (N, channels, size, size).

    A linear layer to 4x4, and doublings that each halve the channels, down to ``channels``.
    """

    def __init__(self, inputs: int, channels: int, size: int, *, gated: bool) -> None:
        super().__init__()
        count = doublings(size)
        widths = [channels << level for level in range(count, -1, -1)]
        units = widths[0] * FIRST**2 * (2 if gated else 1)
        self.first = nn.Sequential(
            nn.Linear(inputs, units, bias=False), nn.BatchNorm1d(units), nn.GLU(1) if gated else nn.ReLU(inplace=True)
        )
        self.up = nn.Sequential(*(_Up(before, after, gated=gated) for before, after in pairwise(widths)))

    def forward(self, inputs: Tensor) -> Tensor:
        return cast(Tensor, self.up(self.first(inputs).unflatten(1, (-1, FIRST, FIRST))))


def to_image(width: int, channels: int) -> nn.Sequential:
    """A map to an image in [-1, 1]."""
    return nn.Sequential(nn.Conv2d(width, channels, 3, padding=1, bias=False), nn.Tanh())


class StackFirst(nn.Module):
    """StackGAN's stage I: sentence (N, features), latent (N, latent) and ``spread`` (N, condition) to a small image.

    (N, channels, size, size) in [-1, 1]; also the mean and the log-variance of the condition, which ``spread``, normal
    noise, is a draw from.
    """

    def __init__(self, channels: int, size: int, features: int, condition: int, latent: int, width: int) -> None:
        super().__init__()
        self.augment = ConditioningAugmentation(features, condition)
        self.stage = FirstStage(condition + latent, width, size, gated=False)
        self.image = to_image(width, channels)
        init_normal(self)

    def forward(self, sentence: Tensor, z: Tensor, spread: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.augment(sentence)
        drawn = mean + (0.5 * log_variance).exp() * spread
        return self.image(self.stage(torch.cat([drawn, z], 1))), mean, log_variance


class StackSecond(nn.Module):
    """StackGAN's stage II: a small image and its sentence to an image of four times the side.

    (N, channels, size, size), sentence (N, features) and ``spread`` (N, condition) -> (N, channels, 4 size, 4 size).
    """

    def __init__(self, channels: int, features: int, condition: int, width: int, residuals: int = 4) -> None:
        super().__init__()
        self.augment = ConditioningAugmentation(features, condition)
        self.encode = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1, bias=False),
            nn.ReLU(inplace=True),
            *(
                layer
                for level in range(2)
                for layer in (
                    nn.Conv2d(width << level, width << (level + 1), 4, 2, 1, bias=False),
                    nn.BatchNorm2d(width << (level + 1)),
                    nn.ReLU(inplace=True),
                )
            ),
        )
        wide = 4 * width
        self.join = nn.Sequential(
            nn.Conv2d(wide + condition, wide, 3, padding=1, bias=False), nn.BatchNorm2d(wide), nn.ReLU(inplace=True)
        )
        self.residuals = nn.Sequential(*(_Residual(wide, gated=False) for _ in range(residuals)))
        widths = [max(1, wide >> level) for level in range(5)]
        self.up = nn.Sequential(*(_Up(before, after, gated=False) for before, after in pairwise(widths)))
        self.image = to_image(widths[-1], channels)
        init_normal(self)

    def forward(self, image: Tensor, sentence: Tensor, spread: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.augment(sentence)
        drawn = mean + (0.5 * log_variance).exp() * spread
        seen = self.encode(image)
        everywhere = drawn[:, :, None, None].expand(-1, -1, *seen.shape[2:])
        return self.image(self.up(self.residuals(self.join(torch.cat([everywhere, seen], 1))))), mean, log_variance


class _NextStage(nn.Module):
    """A map with the words that matter at each place to a map of twice the side."""

    def __init__(self, width: int, features: int, residuals: int) -> None:
        super().__init__()
        self.attention = WordAttention(width, features)
        self.residuals = nn.Sequential(*(_Residual(2 * width, gated=True) for _ in range(residuals)))
        self.up = _Up(2 * width, width, gated=True)

    def forward(self, x: Tensor, words: Tensor, text: Tensor) -> Tensor:
        return cast(Tensor, self.up(self.residuals(torch.cat([x, self.attention(x, words, text)], 1))))


class AttentionalGenerator(nn.Module):
    """AttnGAN's generator (Xu et al., 2018, section 3.1): three images, each of twice the side of the one before.

    Words (N, features, L) of ``text`` (N, L), sentence (N, features), latent (N, latent) and ``spread`` (N, condition)
    -> images (N, channels, size, size) in [-1, 1], with size / 4, size / 2 and ``size``, and the mean and log-variance
    of the condition.
    """

    def __init__(
        self, channels: int, size: int, features: int, condition: int, latent: int, width: int, residuals: int = 2
    ) -> None:
        super().__init__()
        self.augment = ConditioningAugmentation(features, condition)
        self.first = FirstStage(condition + latent, width, size // 4, gated=True)
        self.next = nn.ModuleList(_NextStage(width, features, residuals) for _ in range(2))
        self.images = nn.ModuleList(to_image(width, channels) for _ in range(3))
        init_orthogonal(self)

    def forward(
        self, words: Tensor, sentence: Tensor, text: Tensor, z: Tensor, spread: Tensor
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        mean, log_variance = self.augment(sentence)
        drawn = mean + (0.5 * log_variance).exp() * spread
        maps = [self.first(torch.cat([drawn, z], 1))]
        for stage in self.next:
            maps.append(stage(maps[-1], words, text))
        return [image(each) for image, each in zip(self.images, maps, strict=True)], mean, log_variance
