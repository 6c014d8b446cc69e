"""Progressive GAN: images from noise by networks that grow (Karras, Aila, Laine and Lehtinen, 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from torch.nn import functional as F

from translate.conditions import choice
from translate.contract import Batch, DataSpec, Direction, Nets, Networks, Noise, Phase, Source, TaskModel, Terms
from translate.data.images import Images
from translate.data.labelled import Labelled
from translate.discriminators.growing import GrowingDiscriminator
from translate.errors import UsageError
from translate.generators.growing import GrowingGenerator, doubled, share
from translate.generators.stylegan import resolutions
from translate.layers.labels import WithLabel
from translate.losses.adversarial import adversarial
from translate.losses.penalties import gradient_penalty
from translate.optimizers import Moments, Rate
from translate.settings import Run

LOSS = adversarial("wasserstein")
DRIFT = 0.001
"""Weight of what holds D's scores of real images near 0 (appendix A.1)."""


@dataclass(frozen=True)
class Stage:
    """The training of one side, which fades in first. Of a batch one in ``parts`` images is used."""

    number: int
    side: int
    start: int
    stop: int | None
    fade: int
    parts: int

    def depth(self, step: Tensor) -> Tensor:
        """How far the networks have grown in a step, see ``GrowingGenerator``."""
        faded = ((step - self.start + 1) / self.fade).clamp(0, 1)
        depth: Tensor = (self.number - 1 + faded).clamp(min=0)
        return depth

    def reals(self, images: Tensor, depth: Tensor) -> Tensor:
        """Images (N, C, H, W) at this side, while it fades in mixed with what the side before shows of them."""
        images = F.avg_pool2d(images, images.shape[2] // self.side)
        if not self.number:
            return images
        before = doubled(F.avg_pool2d(images, 2))
        mixed: Tensor = torch.lerp(before, images, share(depth, self.number))
        return mixed

    def part(self, x: Tensor, group: int) -> Tensor:
        """The samples that are used: of so many groups that follow each other the first.

        Thus the samples are the same on one process and on several.
        """
        used: Tensor = x.unflatten(0, (-1, self.parts, group))[:, 0]
        return used.flatten(0, 1)


@dataclass(frozen=True, kw_only=True)
class PGGAN(TaskModel):
    """Images from noise by networks that grow from 4 pixels to full size, a side at a time (Karras et al., 2018).

    WGAN-GP with drift and one critic update, equalised learning rates, pixel norm in the generator, minibatch standard
    deviation in the discriminator, an average of the weights. Each side fades in for ``fade`` steps and is trained for
    ``steady`` more before the next one starts, real images are faded likewise. At the sides of ``halvings`` a step uses
    half as many images as before and a side lasts twice as many steps: of 16 there remain 8 at 256 pixels and 4 at 512
    and 1024, in the paper 14, 6 and 3. The deviation is that of groups of images, as in the authors' code; that code
    empties Adam's moments at each new side, here they go on. The generator's first layer has a bias for each value,
    where the authors' has one for each channel. Sides are 4 to 7 times a power of two.
    """

    api = 2
    source: ClassVar[type[Source]] = Images
    recipe = Run(batch=16, size=1024, steps=1_550_000, ema=0.999)
    averaged = ("g",)

    lr: Rate = 1e-3
    betas: Moments = (0.0, 0.99)
    latent: Annotated[int, "numbers in a latent vector", Ge(1)] = 512
    base: Annotated[int, "channels times side of the features", Ge(1)] = 16384
    most: Annotated[int, "most channels of any features", Ge(1)] = 512
    group: Annotated[int, "images that D compares, by their standard deviation", Ge(1)] = 4
    fade: Annotated[int, "steps in which a side fades in", Ge(1)] = 50_000
    steady: Annotated[int, "steps from then to the start of the next side", Ge(1)] = 50_000
    halvings: Annotated[tuple[Annotated[int, Ge(4)], ...], "sides at which a step uses half as many images"] = (
        256,
        512,
    )
    penalty: Annotated[float, "weight of the gradient penalty", Gt(0)] = 10.0

    def networks(self, data: DataSpec) -> Networks:
        channels, size = data.channels["image"], data.size
        self.stages(size)  # refuses a size that they cannot have, before anything is built
        widths = {"base": self.base, "most": self.most}
        return {
            "g": lambda: GrowingGenerator(channels, size, latent=self.latent, **widths),
            "d": lambda: GrowingDiscriminator(channels, size, group=self.group, **widths),
        }

    def stages(self, size: int) -> list[Stage]:
        """The training of all sides up to ``size``; ``UsageError`` for one that cannot be halved down to 4 to 7."""
        sides = resolutions(size)
        stages: list[Stage] = []
        start = 0
        for number, side in enumerate(sides):
            parts = 2 ** sum(side >= halved for halved in self.halvings)
            fade = self.fade * parts if number else 1
            stop = start + self.steady * parts + (fade if number else 0)
            stages.append(Stage(number, side, start, stop if side < size else None, fade, parts))
            start = stop
        return stages

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        return [phase for stage in self.stages(data.size) for phase in self.moves(stage)]

    def moves(self, stage: Stage) -> list[Phase]:
        """The updates of a step of this stage."""
        start, stop, noise = stage.start, stage.stop, {"z": self.latents()}
        critic, generator = partial(self.discriminator, stage), partial(self.generator, stage)
        more = {**noise, "between": Noise((), "uniform")}
        return [
            Phase(f"discriminator_{stage.side}", ("d",), critic, start=start, stop=stop, noise=more),
            Phase(f"generator_{stage.side}", ("g",), generator, start=start, stop=stop, noise=noise, after=self.grow),
        ]

    def discriminator(self, stage: Stage, nets: Nets, x: Batch) -> Terms:
        self.check_batch(x.image)
        depth = stage.depth(x.step)
        real = stage.reals(stage.part(x.image, self.group), depth)
        fake = self.fakes(stage, nets, x, depth)
        on_real, on_fake = (nets.d(images, stage.number, depth) for images in (real, fake))
        terms = {"real": LOSS.real(on_real[:, 0]), "fake": LOSS.fake(on_fake[:, 0])}
        x.log(distance=-(terms["real"] + terms["fake"]))

        def critic(images: Tensor) -> Tensor:
            score: Tensor = nets.d(images, stage.number, depth)[:, 0]
            return score

        between = (stage.part(x.between, self.group) + 1) / 2
        terms["penalty"] = self.penalty * gradient_penalty(critic, real, fake, between)
        terms["drift"] = DRIFT * on_real[:, 0].square().mean()
        return {**terms, **self.classified(stage, x, real=on_real, fake=on_fake)}

    def generator(self, stage: Stage, nets: Nets, x: Batch) -> Terms:
        depth = stage.depth(x.step)
        x.observe(depth=depth)
        judged = nets.d(self.fakes(stage, nets, x, depth), stage.number, depth)
        return {"adv": LOSS.generator(judged[:, 0]), **self.classified(stage, x, fake=judged)}

    def fakes(self, stage: Stage, nets: Nets, x: Batch, depth: Tensor) -> Tensor:
        """Generated images of a stage."""
        images: Tensor = nets.g(stage.part(x.z, self.group), stage.number, depth)
        return images

    def classified(self, stage: Stage, x: Batch, **judged: Tensor) -> Terms:
        """Terms of the classes that D reads, where it does: by kind of image, what it gave for them."""
        return {}

    def check_batch(self, images: Tensor) -> None:
        """Refuse at the first step what the last side could not divide."""
        parts = 2 ** sum(images.shape[2] >= side for side in self.halvings)
        if images.shape[0] % (parts * self.group):
            raise UsageError(
                f"--batch: {images.shape[0]} images per process and part; expected a multiple of {parts * self.group}, "
                "so that groups (--group) remain whole at all sides of --halvings"
            )

    def grow(self, nets: Nets, values: Mapping[str, Tensor]) -> None:
        """Note how far the generator has grown, for those who draw with it."""
        nets.g.depth.copy_(values["depth"])

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        return [Direction("sample", "z", "image", ("g",), lambda nets, x: nets.g(x.z), latent=self.latents())]

    def latents(self) -> Noise:
        return Noise((self.latent,))


@dataclass(frozen=True, kw_only=True)
class LabelledPGGAN(PGGAN):
    """Images of a class by networks that grow, as the authors' code has them for labels (Karras et al., 2018).

    As ``pggan``; the class follows the latent, and D reads it from real and generated images, which both players want
    to be right (Odena et al., 2017). Fakes have the classes of the batch's images, where the authors draw them evenly.
    """

    api = 2
    source = Labelled

    classify: Annotated[float, "weight of the class that D reads", Gt(0)] = 1.0

    def networks(self, data: DataSpec) -> Networks:
        channels, size, classes = data.channels["image"], data.size, len(data.names["label"])
        self.stages(size)  # refuses a size that they cannot have, before anything is built
        widths = {"base": self.base, "most": self.most}
        return {
            "g": lambda: WithLabel(GrowingGenerator(channels, size, latent=self.latent + classes, **widths), classes),
            "d": lambda: GrowingDiscriminator(channels, size, group=self.group, classes=classes, **widths),
        }

    def fakes(self, stage: Stage, nets: Nets, x: Batch, depth: Tensor) -> Tensor:
        z, label = (stage.part(tensor, self.group) for tensor in (x.z, x.label))
        images: Tensor = nets.g(z, label, stage.number, depth)
        return images

    def classified(self, stage: Stage, x: Batch, **judged: Tensor) -> Terms:
        label = stage.part(x.label, self.group)
        return {
            f"class_{kind}": self.classify * F.cross_entropy(found[:, 1:].float(), label)
            for kind, found in judged.items()
        }

    def grow(self, nets: Nets, values: Mapping[str, Tensor]) -> None:
        nets.g.net.depth.copy_(values["depth"])

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        return [
            Direction(
                *("sample", "z", "image", ("g",)),
                lambda nets, x: nets.g(x.z, x.label),
                latent=self.latents(),
                conditions={"label": choice(data.names["label"], "class of the picture", soft=True)},
            )
        ]
