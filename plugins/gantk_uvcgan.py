"""UVCGAN: CycleGAN's game with a U-Net that holds a vision transformer, and self-supervised pre-training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from annotated_types import Ge, Gt, Le
from torch import Tensor, nn
from torch.nn.functional import interpolate, l1_loss

from gantk_cyclegan import Cycle
from translate.contract import Batch, DataSpec, Nets, Networks, Noise, Phase, Terms
from translate.discriminators.multiscale import patch_discriminator
from translate.errors import UsageError
from translate.generators.unet_vit import HALVINGS, UnetVitGenerator
from translate.losses.penalties import gradient_penalty
from translate.optimizers import Moments, Rate
from translate.settings import Run

PATCHES = 8
"""Squares along a side of a picture, each of which is kept or hidden whole: 32 of 256 pixels, as in the paper."""


@dataclass(frozen=True, kw_only=True)
class UVCGAN(Cycle):
    """Unpaired translation, stronger than CycleGAN and slower (Torbunov et al., 2022)."""

    api = 2
    recipe = Run(batch=1, size=256, epochs=500, ema=0.0)
    multiple = 1 << HALVINGS

    lr: Rate = 1e-4
    betas: Moments = (0.5, 0.99)
    # The paper's weight is 10 for pictures in [0, 1]; a difference is twice as large in [-1, 1].
    cycle: Annotated[float, "weight of the cycle-consistency term", Ge(0)] = 5.0
    penalty: Annotated[float, "weight of the gradient penalty", Ge(0)] = 0.1
    slope: Annotated[float, "gradient norm at which the penalty is 0, for pictures in [0, 1]", Gt(0)] = 100.0
    width: Annotated[int, "channels of a generator's first layer", Ge(8)] = 48
    d_width: Annotated[int, "channels of a discriminator's first layer", Ge(1)] = 64
    blocks: Annotated[int, "transformer blocks of a generator", Ge(1)] = 12
    pretrain: Annotated[
        int,
        "steps at the start in which each generator learns to fill hidden squares in pictures of both domains, before "
        "the game begins",
        Ge(0),
    ] = 0
    masked: Annotated[float, "share of the squares that are hidden in pre-training", Ge(0), Le(1)] = 0.4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % 8:
            raise UsageError(f"width {self.width}: expected a multiple of 8")

    def generator(self, channels_in: int, channels_out: int, data: DataSpec) -> nn.Module:
        return UnetVitGenerator(channels_in, channels_out, self.width, self.blocks)

    def discriminator(self, channels: int) -> nn.Module:
        return patch_discriminator(channels, self.d_width, self.patch_layers, self.scales, spectral=self.spectral)

    def margin(self, data: DataSpec) -> int | None:
        return None  # every pixel sees every other one

    def gradient_penalty(self, critic: nn.Module, real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
        slope = self.slope / 2  # as a picture's values span 2, not 1
        return gradient_penalty(critic, real, fake, share, slope, self.penalty_on)

    def networks(self, data: DataSpec) -> Networks:
        if self.pretrain and data.channels["a"] != data.channels["b"]:
            a, b = data.channels["a"], data.channels["b"]
            raise UsageError(f"pretrain {self.pretrain}: the domains have {a} and {b} channels; set pretrain to 0")
        return super().networks(data)

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        game = [replace(phase, start=self.pretrain) for phase in super().phases(data)]
        if not self.pretrain:
            return game
        grid = Noise((1, PATCHES, PATCHES), "uniform")
        noise = {"squares_a": grid, "squares_b": grid}
        return [Phase("pretrain", self.averaged, self.filling_loss, stop=self.pretrain, noise=noise), *game]

    def filling_loss(self, nets: Nets, x: Batch) -> Terms:
        """What is hidden is to be drawn again, and what is seen to be kept, in both domains (section 3.2)."""
        a, b = self._hide(x.a, x.squares_a), self._hide(x.b, x.squares_b)
        return {
            f"fill_{name}_{way}": l1_loss(generator(picture), target)
            for way, generator in (("ab", nets.g_ab), ("ba", nets.g_ba))
            for name, picture, target in (("a", a, x.a), ("b", b, x.b))
        }

    def _hide(self, image: Tensor, squares: Tensor) -> Tensor:
        """The image with squares of zeros (grey), where the noise in [-1, 1) is below the threshold."""
        kept = (squares >= 2 * self.masked - 1).to(image.dtype)
        return image * interpolate(kept, size=image.shape[2:], mode="nearest")
