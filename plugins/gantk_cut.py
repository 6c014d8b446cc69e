"""CUT: translation in one direction, learnt by comparing patches (Park et al., 2020, arXiv 2007.15651).

A patch of the output should have more in common with the patch of the input at its place than with the input's other
patches. That replaces the way back of CycleGAN, so that one generator and one discriminator suffice. Networks are those
of the authors' code, anti-aliased and initialised as there.

What is done otherwise than in that code:

- The first of the five feature layers is the picture, theirs the picture with its padding.
- A step moves generator and projection first and the discriminator then, on the same outputs; theirs starts with the
  discriminator.
- Patches are drawn with replacement, for each picture anew; a place that was drawn twice is no negative of itself.
- FastCUT mirrors half of the pictures, theirs all pictures of half of the batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, cast

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from translate.contract import Batch, DataSpec, Direction, Nets, Networks, Noise, Phase, TaskModel, Terms, linear_decay
from translate.data.unpaired import Unpaired
from translate.discriminators.multiscale import patch_discriminator, smallest_side
from translate.errors import UsageError
from translate.generators.resnet import ResnetGenerator, resnet_margin
from translate.layers.init import init_xavier_normal
from translate.layers.projection import Projection
from translate.layers.resample import Downsample, Upsample
from translate.losses.adversarial import adversarial, score_of
from translate.losses.contrastive import contrast
from translate.losses.penalties import EVERY, R1, R2, lazy_penalties
from translate.settings import Run

GAME = adversarial("lsgan")
LAYERS = 5
"""Feature layers whose patches are compared."""

# The hyper-parameters in whose defaults the two models differ.
Nce = Annotated[float, "weight of the patch-wise contrastive term", Ge(0)]
Identity = Annotated[bool, "contrast pictures of b with themselves repainted as well"]
Mirror = Annotated[bool, "mirror half of the inputs, and compare what comes out mirrored back"]


@dataclass(frozen=True, kw_only=True)
class CUT(TaskModel):
    """Unpaired translation in one direction by contrasting patches (Park et al., 2020)."""

    api = 2
    source = Unpaired
    recipe = Run(batch=1, size=256, epochs=400, ema=0.0)  # the paper publishes the weights of the last step
    averaged = ("g",)

    nce: Nce = 1.0
    identity: Identity = True
    mirror: Mirror = False
    temperature: Annotated[float, "of the contrast: lower is stricter", Gt(0)] = 0.07
    patches: Annotated[int, "patches compared in each layer", Ge(2)] = 256
    projection: Annotated[int, "channels in which patches are compared", Ge(1)] = 256
    width: Annotated[int, "channels of each network's first layer", Ge(1)] = 64
    blocks: Annotated[
        int, "residual blocks of the generator; patches are taken behind the first and the fifth", Ge(2)
    ] = 9
    patch_layers: Annotated[int, "halvings in the discriminator; 3 sees 70x70 pixels", Ge(0), Le(6)] = 3
    scales: Annotated[int, "discriminators, each at half the side of the one before", Ge(1), Le(5)] = 1
    r1: R1 = 0.0
    r2: R2 = 0.0
    upsample: Annotated[Upsample, "how the generator upsamples; blur is the paper's"] = "blur"
    downsample: Annotated[Downsample, "how generator and discriminator downsample; blur is the paper's"] = "blur"

    def networks(self, data: DataSpec) -> Networks:
        a, b = data.channels["a"], data.channels["b"]
        smallest = max(8, smallest_side(self.patch_layers, self.scales))
        if data.size % 4 or data.size < smallest:
            raise UsageError(f"--size {data.size}: expected a multiple of 4, {smallest} or more")
        if a != b:
            raise UsageError(
                f"the domains have {a} and {b} channels; CUT compares their pictures: expected equal numbers"
            )
        channels = (a, self.width * 2, self.width * 4, self.width * 4, self.width * 4)

        def generator() -> nn.Module:
            net = ResnetGenerator(a, b, self.width, self.blocks, upsample=self.upsample, downsample=self.downsample)
            return init_xavier_normal(net)

        def discriminator() -> nn.Module:
            net = patch_discriminator(b, self.width, self.patch_layers, self.scales, downsample=self.downsample)
            return init_xavier_normal(net)

        return {"g": generator, "f": lambda: Projection(channels, self.projection), "d": discriminator}

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        # Chance comes from the engine, a sample's own: the same from one process as from two, and after a resume.
        noise = {"places": Noise((2, LAYERS, self.patches), "uniform"), "side": Noise((1, 1, 1), "uniform")}
        phases = [Phase("translate", ("g", "f"), self.translate, noise=noise), Phase("judge", ("d",), self.judge)]
        if self.r1 or self.r2:
            phases.append(Phase("penalty", ("d",), self.penalise, every=EVERY))
        return phases

    def translate(self, nets: Nets, x: Batch) -> Terms:
        """Look real, and match the input patch by patch (eq. 6); with identity, the same for pictures of b (eq. 7)."""
        fake = nets.g(self.mirrored(x.a, x))
        x.keep(fake=fake)
        terms = {"adv": GAME.generator(nets.d(fake))}
        weight = self.nce / 2 if self.identity else self.nce
        if self.nce:
            terms["nce"] = weight * self.contrast(nets, x, x.a, fake, x.places[:, 0])
        if self.nce and self.identity:
            same = nets.g(self.mirrored(x.b, x))
            terms["nce_identity"] = weight * self.contrast(nets, x, x.b, same, x.places[:, 1])
        return terms

    def mirrored(self, image: Tensor, x: Batch) -> Tensor:
        """``mirror``: left and right exchanged in half of the samples; twice is not at all."""
        return torch.where(x.side < 0, image.flip(3), image) if self.mirror else image

    def contrast(self, nets: Nets, x: Batch, before: Tensor, after: Tensor, draws: Tensor) -> Tensor:
        """The contrastive loss between a picture and its translation, the mean over the feature layers."""
        queries = [self.mirrored(layer, x) for layer in self.features(nets.g, after)]
        return contrast(nets.f, queries, self.features(nets.g, before), draws, self.temperature)

    def features(self, g: nn.Module, image: Tensor) -> list[Tensor]:
        """The picture, the convolutions of the encoder and what comes out of the first and the fifth block."""
        net = cast(ResnetGenerator, g)
        found, hidden = [image], net.stem(image)
        for layer in net.down:
            convolution, *others = cast(nn.Sequential, layer)
            hidden = convolution(hidden)
            found.append(hidden)
            for other in others:
                hidden = other(hidden)
        for index, block in enumerate(list(net.blocks)[:LAYERS]):
            hidden = block(hidden)
            if index == 0:
                found.append(hidden)
        return [*found, hidden]

    def judge(self, nets: Nets, x: Batch) -> Terms:
        """Tell pictures of b from translations; halved, as in CycleGAN."""
        real, fake = nets.d(x.b), nets.d(x.fake)
        x.scores("d", real=score_of(real), fake=score_of(fake))
        return {"adv": 0.5 * GAME.discriminator(real, fake)}

    def penalise(self, nets: Nets, x: Batch) -> Terms:
        """The slope of the discriminator, of which the paper has no penalty."""
        return lazy_penalties(nets.d, x.b, x.fake, self.r1, self.r2)

    def lr_at(self, progress: float) -> float:
        return linear_decay(progress, 0.5)

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        margin = resnet_margin(self.blocks, self.upsample, self.downsample)
        return [Direction("a2b", "a", "b", ("g",), lambda nets, x: nets.g(x.a), multiple=4, margin=margin)]

    def preview(self, nets: Nets, x: Batch, data: DataSpec) -> Mapping[str, Tensor]:
        """Input, translation, a picture of b, and that one repainted."""
        return {"a": x.a, "a2b": nets.g(x.a), "b": x.b, "b2b": nets.g(x.b)}


@dataclass(frozen=True, kw_only=True)
class FastCUT(CUT):
    """CUT without its identity term, in half the time (Park et al., 2020)."""

    api = 2
    recipe = Run(batch=1, size=256, epochs=200, ema=0.0)

    nce: Nce = 10.0
    identity: Identity = False
    mirror: Mirror = True

    def lr_at(self, progress: float) -> float:
        return linear_decay(progress, 0.75)
