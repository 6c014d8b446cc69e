"""Real-ESRGAN: enlarge and restore photos as they are found (Wang et al., 2021, arXiv 2107.10833).

First the generator alone learns the mean absolute error (Real-ESRNet), then the game begins. Inputs are made from sharp
photos by blur, resizing, noise and JPEG, twice over (``translate.data.degrade``). What is done otherwise than in the
authors' code:

- Each picture of a batch is resized in its own way, so that no pool of pairs has to mix batches.
- One run holds both stages, with one optimizer; theirs are two runs. Pre-training has twice the game's learning rate.
- The compact generator and SPAN, of which the authors' code has the first, are trained in the same game.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar, Literal, cast

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn
from torch.nn import functional as F

from translate.contract import Batch, DataSpec, Direction, Nets, Networks, Phase, Source, TaskModel, Terms, ramped
from translate.data.lowhigh import LowHigh
from translate.discriminators.realesrgan import HALVINGS, UNetDiscriminator
from translate.discriminators.srgan import check_size
from translate.errors import UsageError
from translate.generators import rrdb
from translate.generators.compact import CompactNet, compact_margin
from translate.generators.rrdb import RRDBNet
from translate.generators.span import SPAN, span_margin
from translate.generators.srresnet import Scale
from translate.layers.sharpen import sharpened
from translate.losses.adversarial import Game
from translate.losses.penalties import EVERY, R1, R2, lazy_penalties
from translate.losses.perceptual import Perceptual, last_layer, vgg_layers
from translate.optimizers import Moments
from translate.settings import Run

Generator = Literal["rrdb", "compact", "span"]


@dataclass(frozen=True, kw_only=True)
class Photos(LowHigh):
    """High-resolution images, whose low-resolution versions suffer as photos do by default."""

    degradation: Annotated[Literal["bicubic", "real"], "low resolution by MATLAB's bicubic, or as in real photos"] = (
        "real"
    )


@dataclass(frozen=True, kw_only=True)
class RealESRGAN(TaskModel):
    """Photos as they are found, enlarged or restored (Wang et al., 2021).

    First the generator alone learns the mean absolute error (Real-ESRNet), then the game begins. With ``warmup`` not
    less than the run's steps it never does; with 0 it begins at once, from the weights of ``--init``.
    """

    api = 2
    source: ClassVar[type[Source]] = Photos
    recipe = Run(steps=1_400_000, batch=48, size=256, ema=0.999)
    averaged = ("g",)

    lr: Annotated[float, "learning rate; twice as much before the game", Gt(0)] = 1e-4
    betas: Moments = (0.9, 0.99)
    generator: Annotated[Generator, "network that enlarges: the paper's, its authors' small one, or SPAN"] = "rrdb"
    warmup: Annotated[int, "steps of pre-training on the mean absolute error, before the game", Ge(0)] = 1_000_000
    pixel: Annotated[float, "weight of the mean absolute error in the game, on values from 0 to 1", Ge(0)] = 1.0
    perceptual: Annotated[Perceptual, "loss on features of five layers before activation, or none"] = "vgg19"
    vgg_weights: Annotated[Path | None, "file with torchvision's weights of it; else torch's cache"] = None
    adversarial: Annotated[float, "weight of the adversarial term, the perceptual loss having 1", Ge(0)] = 0.1
    loss: Annotated[Literal["vanilla", "relativistic"], "adversarial loss"] = "vanilla"
    r1: R1 = 0.0
    r2: R2 = 0.0
    ramp: Annotated[int, "steps of the game in which the weight of the adversarial term rises from 0", Ge(0)] = 0
    sharpen: Annotated[bool | None, "learn from sharpened pictures; the discriminator never does [yes with rrdb]"] = (
        None
    )
    blocks: Annotated[int | None, "blocks or convolutions of the generator [rrdb 23, compact 16]", Ge(1)] = None
    width: Annotated[int | None, "channels of the generator's convolutions [span 52, else 64]", Ge(1)] = None
    growth: Annotated[int, "channels that each convolution of an rrdb block adds", Ge(1)] = 32
    normalise: Annotated[bool, "span subtracts DIV2K's mean colour and counts in 255 levels"] = True
    d_width: Annotated[int, "channels of the discriminator's first convolution", Ge(1)] = 64

    LAYER_WEIGHTS: ClassVar[tuple[float, ...]] = (0.1, 0.1, 1.0, 1.0, 1.0)
    """Of the last convolution of each block (section 4.1)."""

    def __post_init__(self) -> None:
        if self.generator == "span" and self.blocks is not None:
            raise UsageError("--blocks: SPAN always has six; expected --width for another size")

    def networks(self, data: DataSpec) -> Networks:
        check_size(data.size, 2**HALVINGS, "Real-ESRGAN's discriminator")
        channels = data.channels["high"]
        networks: dict[str, Callable[[], nn.Module]] = {
            "g": self.upscaler(channels, cast(Scale, data.scale)),
            "d": partial(UNetDiscriminator, channels, width=self.d_width),
        }
        if self.perceptual != "none":
            layers = [last_layer(self.perceptual, block) for block in range(1, 6)]
            networks["features"] = partial(vgg_layers, self.perceptual, layers, self.vgg_weights)
        return networks

    def unshuffle(self, scale: int) -> int:
        """How many times smaller the generator works: RRDB always enlarges four times or more."""
        return {1: 4, 2: 2}.get(scale, 1) if self.generator == "rrdb" else 1

    def depth(self) -> int:
        """Blocks of RRDB, or convolutions of the compact network."""
        return self.blocks or (23 if self.generator == "rrdb" else 16)

    def upscaler(self, channels: int, scale: Scale) -> Callable[[], nn.Module]:
        """How to build the generator."""
        width = self.width or (52 if self.generator == "span" else 64)
        match self.generator:
            case "span":
                return partial(SPAN, channels, scale, width=width, normalise=self.normalise)
            case "compact":
                return partial(CompactNet, channels, scale, width=width, blocks=self.depth())
        unshuffle = self.unshuffle(scale)
        size = {"width": width, "blocks": self.depth(), "growth": self.growth, "unshuffle": unshuffle}
        return partial(RRDBNet, channels, scale, **size)

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        phases = [
            Phase("pretrain", ("g",), self.pretrain, stop=self.warmup, rate=2.0),
            Phase("generator", ("g",), self.play, start=self.warmup),
            Phase("discriminator", ("d",), self.discriminate, start=self.warmup),
        ]
        if self.r1 or self.r2:
            phases.append(Phase("penalty", ("d",), self.penalise, every=EVERY, start=self.warmup))
        return phases

    def target(self, x: Batch) -> Tensor:
        """What the generator is compared with."""
        sharpen = self.generator == "rrdb" if self.sharpen is None else self.sharpen
        return sharpened(x.high) if sharpen else x.high

    def pretrain(self, nets: Nets, x: Batch) -> Terms:
        """Real-ESRNet: L1 alone (section 4.1)."""
        return {"l1": F.l1_loss(nets.g(x.low), self.target(x)) / 2}

    def play(self, nets: Nets, x: Batch) -> Terms:
        """L1, features of five layers and the game, with the weights of section 4.1."""
        high, target = nets.g(x.low), self.target(x)
        x.keep(fake=high)
        terms = {"l1": self.pixel / 2 * F.l1_loss(high, target)}
        if self.perceptual != "none":
            compared = zip(self.LAYER_WEIGHTS, nets.features(high), nets.features(target), strict=True)
            terms["perceptual"] = torch.stack([w * F.l1_loss(ours, theirs) for w, ours, theirs in compared]).sum()
        weight = self.adversarial * ramped(x, self.ramp, self.warmup)
        return {**terms, "adversarial": weight * Game(self.loss).generator(nets.d(high), lambda: nets.d(x.high))}

    def discriminate(self, nets: Nets, x: Batch) -> Terms:
        """Every pixel real or not, real pictures as they are."""
        real, fake = nets.d(x.high), nets.d(x.fake)
        x.scores("d", real=real, fake=fake)
        return Game(self.loss).discriminator(real, fake)

    def penalise(self, nets: Nets, x: Batch) -> Terms:
        """The slope of the discriminator, of which the paper has no penalty."""
        return lazy_penalties(nets.d, x.high, x.fake, self.r1, self.r2)

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        unshuffle = self.unshuffle(data.scale)
        match self.generator:
            case "span":
                margin = span_margin()
            case "compact":
                margin = compact_margin(self.depth())
            case "rrdb":
                margin = rrdb.margin(cast(Scale, data.scale), self.depth(), unshuffle)
        name = "restore" if data.scale == 1 else "upscale"
        return [Direction(name, "low", "high", ("g",), self.run, multiple=unshuffle, scale=data.scale, margin=margin)]

    def run(self, nets: Nets, x: Batch) -> Tensor:
        """The generator alone."""
        return cast(Tensor, nets.g(x.low))

    def preview(self, nets: Nets, x: Batch, data: DataSpec) -> Mapping[str, Tensor]:
        return {**super().preview(nets, x, data), "high": x.high}
