"""ESRGAN: enhanced super-resolution generative adversarial networks (Wang et al., 2018)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, cast

from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional as F

from translate.contract import Batch, DataSpec, Direction, Nets, Networks, Phase, TaskModel, Terms
from translate.data.lowhigh import LowHigh
from translate.discriminators.srgan import ESRGANDiscriminator, check_size
from translate.errors import UsageError
from translate.generators import rrdb
from translate.generators.rrdb import RRDBNet
from translate.generators.srresnet import Scale
from translate.losses.adversarial import RelativisticAverageLoss
from translate.losses.perceptual import Perceptual, last_layer, vgg
from translate.optimizers import Moments, Rate, fall
from translate.settings import Run


@dataclass(frozen=True, kw_only=True)
class ESRGAN(TaskModel):
    """Super-resolution by residual in residual dense blocks and a relativistic game (Wang et al., 2018).

    First the generator alone learns the mean absolute error (the PSNR-oriented network), then the game begins. With
    ``warmup`` not less than the run's steps it never does.

    Rates are the paper's (section 4.1): twice ``lr`` at the start, halved after each fifth of the pre-training, then
    ``lr`` again, halved four times in the game. ``game`` "basicsr" is that of the authors' later code: the
    discriminator sees values from 0 to 1, and its gradient does not flow through the means.
    """

    api = 2
    source = LowHigh
    recipe = Run(steps=1_400_000, batch=16, size=128)
    averaged = ("g",)

    lr: Rate = 1e-4
    betas: Moments = (0.9, 0.999)
    warmup: Annotated[int, "steps of pre-training on the mean absolute error, before the game", Ge(0)] = 1_000_000
    decay_from: Annotated[
        float,
        "share of the run that is pre-training, whose rate is halved after each fifth; the game's is halved after 1/8, "
        "1/4, 1/2 and 3/4 of the rest",
        Ge(0),
        Le(1),
    ] = 0.7143
    game: Annotated[Literal["paper", "basicsr"], "the paper's game, or that of the authors' BasicSR"] = "paper"
    pixel: Annotated[float, "weight of the mean absolute error in the game, on values from 0 to 1", Ge(0)] = 1e-2
    perceptual: Annotated[Perceptual, "loss on features before activation, or none"] = "vgg19"
    vgg_weights: Annotated[Path | None, "file with torchvision's weights of it; else torch's cache"] = None
    adversarial: Annotated[float, "weight of the adversarial term, the perceptual loss having 1", Ge(0)] = 5e-3
    blocks: Annotated[int, "residual in residual dense blocks of the generator", Ge(1)] = 23
    width: Annotated[int, "channels of the generator's convolutions", Ge(1)] = 64
    d_width: Annotated[int, "channels of the discriminator's first convolution", Ge(1)] = 64
    growth: Annotated[int, "channels that each convolution of a dense block adds", Ge(1)] = 32
    unshuffle: Annotated[Literal[1, 2, 4], "the generator works on an input so many times smaller"] = 1

    def networks(self, data: DataSpec) -> Networks:
        check_size(data.size, 64 if data.size >= 256 else 32, "ESRGAN's discriminator")
        if data.size // data.scale % self.unshuffle:
            raise UsageError(
                f"--unshuffle {self.unshuffle} does not divide the low-resolution patch of {data.size // data.scale} "
                f"pixels (--size {data.size}, --scale {data.scale})"
            )
        channels = data.channels["high"]
        networks: dict[str, Callable[[], nn.Module]] = {
            "g": partial(
                RRDBNet,
                channels,
                cast(Scale, data.scale),
                width=self.width,
                blocks=self.blocks,
                growth=self.growth,
                unshuffle=self.unshuffle,
            ),
            "d": partial(ESRGANDiscriminator, channels, data.size, width=self.d_width),
        }
        if self.perceptual != "none":
            networks["features"] = partial(vgg, self.perceptual, last_layer(self.perceptual, 5), self.vgg_weights)
        return networks

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        return [
            Phase("pretrain", ("g",), self.pretrain, stop=self.warmup, rate=2.0),
            Phase("generator", ("g",), self.generator, start=self.warmup),
            Phase("discriminator", ("d",), self.discriminator, start=self.warmup),
        ]

    def pretrain(self, nets: Nets, x: Batch) -> Terms:
        """Section 4.1: L1 alone."""
        return {"l1": unit_l1(nets.g(x.low), x.high)}

    def generator(self, nets: Nets, x: Batch) -> Terms:
        """Equation 3. As in the authors' code, the adversarial loss is the mean of equation 2's two expectations."""
        high = nets.g(x.low)
        x.keep(fake=high)
        terms = {"l1": self.pixel * unit_l1(high, x.high)}
        if self.perceptual != "none":
            terms["perceptual"] = F.l1_loss(nets.features(high), nets.features(x.high))
        judged = self.judge(nets, x.high), self.judge(nets, high)
        terms["adversarial"] = self.adversarial / 2 * self.relativistic.generator(*judged)
        return terms

    def discriminator(self, nets: Nets, x: Batch) -> Terms:
        """Equation 1, likewise halved."""
        real, fake = self.judge(nets, x.high), self.judge(nets, x.fake)
        x.scores("d", real=real - fake.mean(), fake=fake - real.mean())
        return {"adversarial": self.relativistic.discriminator(real, fake) / 2}

    def judge(self, nets: Nets, image: Tensor) -> Tensor:
        """The discriminator's logits, of values in [-1, 1] or in BasicSR's [0, 1]."""
        return cast(Tensor, nets.d((image + 1) / 2 if self.game == "basicsr" else image))

    @property
    def relativistic(self) -> RelativisticAverageLoss:
        """The loss that both players share."""
        return RelativisticAverageLoss(constant_means=self.game == "basicsr")

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        margin = rrdb.margin(cast(Scale, data.scale), self.blocks, self.unshuffle)
        return [
            Direction(
                "upscale",
                "low",
                "high",
                ("g",),
                self.upscale,
                multiple=self.unshuffle,
                scale=data.scale,
                margin=margin,
            )
        ]

    def upscale(self, nets: Nets, x: Batch) -> Tensor:
        """The generator alone."""
        return cast(Tensor, nets.g(x.low))

    def lr_at(self, progress: float) -> float:
        """1, and by halves less, first in the pre-training and anew in the game (section 4.1)."""
        if progress < self.decay_from:
            return fall("fifths", progress / self.decay_from)
        return fall("halving", (progress - self.decay_from) / (1 - self.decay_from))

    def preview(self, nets: Nets, x: Batch, data: DataSpec) -> Mapping[str, Tensor]:
        return {**super().preview(nets, x, data), "high": x.high}


def unit_l1(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error on values from 0 to 1, for which the paper's weights are meant."""
    return F.l1_loss(output, target) / 2
