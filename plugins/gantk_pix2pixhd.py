"""Pix2PixHD: large pictures from label maps (Wang et al., 2018), and SPADE, its successor (Park et al., 2019).

Where the papers and the authors' codes differ, and what is done here:

- *Coarse to fine* happens in one run. Until step ``coarse_steps`` the global generator learns at half the side, then
  the local enhancer alone for ``alone_steps``, then both. While it is alone with the discriminators, the global
  generator sees maps and pictures halved as the enhancer halves them later (the code resizes files); the learning rate
  falls once, at the end of the run (the code lets it fall in both parts).
- *Edges* between instances come from ``x.instances`` at full size, where there are instance maps; the encoder of
  instance features is left out.
- *Styles* of SPADE (``style``): the divergence is summed over the numbers and is the mean over the samples; the code
  sums it over the four samples of each GPU as well, which is ``kld`` 0.2. The style of a picture is the mean that the
  encoder gives, where the code draws around it. Pictures are brought to 256 pixels, as in the code, or to fewer where
  those that it learns from are smaller.
- *Sums over scales*: the adversarial losses are summed as in pix2pixHD's equation 3 (SPADE's code takes their mean); of
  feature matching the mean over the scales is taken, as both codes do (equation 5 has the sum).
- *Discriminators* are PatchGANs whose convolutions are padded by one pixel, as pix2pix has it (the code: by two).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, cast

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn
from torch.nn import functional as F

from translate.conditions import drawn
from translate.contract import Batch, DataSpec, Direction, Nets, Networks, Noise, Phase, TaskModel, Terms, linear_decay
from translate.data.labelmaps import LabelMaps
from translate.discriminators.multiscale import MultiScaleDiscriminator, halved, smallest_side
from translate.errors import UsageError
from translate.generators.pix2pixhd import LocalEnhancer, enhanced_margin
from translate.generators.resnet import ResnetGenerator, resnet_margin
from translate.generators.spade import DOUBLINGS, SpadeGenerator, StyleEncoder, spade_margin
from translate.layers.norms import Norm
from translate.layers.text import divergence
from translate.losses.adversarial import AdversarialLoss, adversarial, score_of
from translate.losses.penalties import EVERY, R1, R2, lazy_penalties
from translate.losses.perceptual import vgg_layers
from translate.optimizers import Moments, Rate
from translate.settings import Run

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
SHARES = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""Of VGG19, what the perceptual loss compares, and how much each layer counts."""

Generator: TypeAlias = Annotated[
    Literal["local", "global", "spade"], "local: coarse to fine, with an enhancer; global: the coarse one; spade"
]
Game: TypeAlias = Annotated[Literal["lsgan", "hinge", "vanilla"], "adversarial loss"]
DRate: TypeAlias = Annotated[float | None, "learning rate of the discriminators [that of the others]", Gt(0)]


def edges_of(instances: Tensor) -> Tensor:
    """Where a pixel's number differs from a neighbour's: (N, 1, H, W) of identities -> the same of 0 and 1."""
    down = F.pad((instances[:, :, 1:] != instances[:, :, :-1]).to(instances.dtype), (0, 0, 1, 1))
    right = F.pad((instances[:, :, :, 1:] != instances[:, :, :, :-1]).to(instances.dtype), (1, 1, 0, 0))
    above, left = down[:, :, :-1], right[:, :, :, :-1]
    return torch.maximum(torch.maximum(above, down[:, :, 1:]), torch.maximum(left, right[:, :, :, 1:]))


@dataclass(frozen=True, kw_only=True)
class Pix2PixHD(TaskModel):
    """Large pictures from label maps, coarse to fine (Wang et al., 2018)."""

    api = 2
    source = LabelMaps
    recipe = Run(batch=1, size=1024, steps=892_500)

    generator: Generator = "local"
    coarse_steps: Annotated[int, "local: steps in which the global generator learns at half the side", Ge(0)] = 595_000
    alone_steps: Annotated[int, "local: steps of the enhancer alone, before both learn together", Ge(0)] = 29_750
    width: Annotated[int, "channels of the (global) generator's first or SPADE's last layer", Ge(2)] = 64
    halvings: Annotated[int, "how often the global generator halves the side", Ge(1), Le(6)] = 4
    blocks: Annotated[int, "residual blocks of the global generator", Ge(1)] = 9
    local_blocks: Annotated[int, "residual blocks of the enhancer", Ge(1)] = 3
    norm: Annotated[Norm, "normalisation in global generator, enhancer and discriminators"] = "instance"
    map_width: Annotated[int, "SPADE's channels between the map and what is read from it", Ge(1)] = 128
    spade_norm: Annotated[Literal["batch", "instance"], "what SPADE normalises by, before the map"] = "batch"
    d_width: Annotated[int, "channels of each discriminator's first layer", Ge(1)] = 64
    scales: Annotated[int, "discriminators, each at half the side of the one before", Ge(1), Le(5)] = 3
    patch_layers: Annotated[int, "stride-2 layers of each discriminator; 3 sees 70x70 pixels", Ge(1), Le(6)] = 3
    spectral: Annotated[bool, "spectral normalisation in the discriminators"] = False
    loss: Game = "lsgan"
    r1: R1 = 0.0
    r2: R2 = 0.0
    matching: Annotated[float, "weight of the distance between the discriminators' features", Ge(0)] = 10.0
    vgg_weights: Annotated[Path | None, "torchvision's VGG19, for the perceptual loss [none]"] = None
    perceptual: Annotated[float, "weight of that loss", Ge(0)] = 10.0
    decay_from: Annotated[float, "share of the run after which the learning rate falls to 0", Gt(0), Le(1)] = 5 / 6

    def __post_init__(self) -> None:
        if self.generator == "local" and self.width % 2:
            raise UsageError(f"--width {self.width}: the enhancer has half as many channels; expected an even number")

    def networks(self, data: DataSpec) -> Networks:
        self.check_size(data.size)
        planes, colours = planes_of(data), data.channels["image"]
        patches = (self.d_width, self.patch_layers, self.scales, self.norm, self.spectral)
        networks: dict[str, Callable[[], nn.Module]] = {
            "d": partial(MultiScaleDiscriminator, planes + colours, *patches)
        }
        if self.vgg_weights is not None:
            networks["features"] = partial(vgg_layers, "vgg19", LAYERS, self.vgg_weights)
        if self.generator == "spade":
            return {
                "g": partial(SpadeGenerator, planes, colours, self.width, self.map_width, self.spade_norm),
                **networks,
            }
        coarse = partial(ResnetGenerator, planes, colours, self.width, self.blocks, self.norm, halvings=self.halvings)
        if self.generator == "global":
            return {"g": coarse, **networks}
        fine = partial(LocalEnhancer, planes, colours, self.width // 2, self.local_blocks, self.norm)
        return {"g": coarse, "enhancer": fine, **networks}

    def check_size(self, size: int) -> None:
        """Raise ``UsageError`` for an image side that the networks cannot take."""
        if size % self._multiple:
            below = size // self._multiple * self._multiple
            near = f"{below} or {below + self._multiple}" if below else str(self._multiple)
            raise UsageError(f"--size {size}: expected a multiple of {self._multiple} for {self.generator}: {near}")
        least = smallest_side(self.patch_layers, self.scales)
        if self.generator == "local":
            least *= 2
        least = max(least, 2 * self._multiple)
        if size < least:
            raise UsageError(
                f"--size {size}: expected {least} or more with --scales {self.scales}, --patch-layers "
                f"{self.patch_layers} and --generator {self.generator}"
            )

    @property
    def _multiple(self) -> int:
        return 1 << {"local": self.halvings + 1, "global": self.halvings, "spade": DOUBLINGS}[self.generator]

    @property
    def _game(self) -> AdversarialLoss:
        return adversarial(self.loss)

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        penalty = [Phase("penalty", ("d",), self.penalise, every=EVERY)] if self.r1 or self.r2 else []
        if self.generator != "local":
            return [Phase("generator", ("g",), self.whole), Phase("discriminator", ("d",), self.judge), *penalty]
        fine = self.coarse_steps + self.alone_steps
        return [
            Phase("coarse", ("g",), self.coarse, stop=self.coarse_steps),
            Phase("enhancer", ("enhancer",), self.enhanced, start=self.coarse_steps, stop=fine, after=self.begin),
            Phase("together", ("g", "enhancer"), self.enhanced, start=fine, after=self.begin),
            Phase("discriminator", ("d",), self.judge),
            *penalty,
        ]

    def whole(self, nets: Nets, x: Batch) -> Terms:
        """The only generator there is, at full size."""
        given = inputs_of(x)
        return self.terms(nets, x, given, nets.g(given), x.image)

    def coarse(self, nets: Nets, x: Batch) -> Terms:
        """The global generator, at half the side."""
        given = halved(inputs_of(x))
        return self.terms(nets, x, given, nets.g(given), halved(x.image))

    def enhanced(self, nets: Nets, x: Batch) -> Terms:
        """The enhancer on the global generator's features, at full size."""
        given = inputs_of(x)
        return self.terms(nets, x, given, nets.enhancer(given, nets.g.trunk(halved(given))), x.image)

    def terms(self, nets: Nets, x: Batch, given: Tensor, fake: Tensor, real: Tensor) -> Terms:
        """Equations 3 and 4 of Wang et al. (2018), and the perceptual loss."""
        x.keep(given=given, real=real, fake=fake)
        ours, theirs = (nets.d.features(torch.cat([given, image], 1)) for image in (fake, real))
        terms = {"adversarial": self._game.generator([scale[-1] for scale in ours])}
        if self.matching:
            apart = [
                F.l1_loss(mine, other)
                for ours_k, theirs_k in zip(ours, theirs, strict=True)
                for mine, other in zip(ours_k[:-1], theirs_k[:-1], strict=True)
            ]
            terms["matching"] = self.matching * torch.stack(apart).sum() / self.scales
        if self.vgg_weights is not None:
            pairs = zip(SHARES, nets.features(fake), nets.features(real), strict=True)
            terms["perceptual"] = self.perceptual * torch.stack([s * F.l1_loss(a, b) for s, a, b in pairs]).sum()
        return terms

    def judge(self, nets: Nets, x: Batch) -> Terms:
        """Tell pictures from what was made of the same maps."""
        real, fake = (nets.d(torch.cat([x.given, image], 1)) for image in (x.real, x.fake))
        x.scores("d", real=score_of(real), fake=score_of(fake))
        return {"real": self._game.real(real), "fake": self._game.fake(fake)}

    def penalise(self, nets: Nets, x: Batch) -> Terms:
        """The slope of the discriminators, in what they judge and not in the maps beside it."""
        return lazy_penalties(lambda image: nets.d(torch.cat([x.given, image], 1)), x.real, x.fake, self.r1, self.r2)

    @staticmethod
    def begin(nets: Nets, values: Mapping[str, Tensor]) -> None:
        """From its first step on, results are the enhancer's."""
        nets.enhancer.trained.fill_(1)

    def lr_at(self, progress: float) -> float:
        return linear_decay(progress, self.decay_from)

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        inputs = tuple(name for name in ("label", "instances") if name in data.channels)
        roles = ("g", "enhancer") if self.generator == "local" else ("g",)
        margin = {
            "local": lambda: enhanced_margin(self.halvings, self.blocks, self.local_blocks),
            "global": lambda: resnet_margin(self.blocks, halvings=self.halvings),
            "spade": spade_margin,
        }[self.generator]()
        return [Direction("label2image", inputs, "image", roles, self.draw, multiple=self._multiple, margin=margin)]

    def draw(self, nets: Nets, x: Batch) -> Tensor:
        """The best picture that there is for a map: the coarse one, enlarged, until the enhancer begins."""
        given = inputs_of(x)
        if self.generator != "local":
            return cast(Tensor, nets.g(given))
        features = nets.g.trunk(halved(given))
        return cast(Tensor, nets.enhancer.chosen(nets.enhancer(given, features), nets.g.head(features)))

    def preview(self, nets: Nets, x: Batch, data: DataSpec) -> Mapping[str, Tensor]:
        """Map, edges between instances, result and picture."""
        edges = {"edges": 2 * edges_of(x.instances) - 1} if "instances" in x else {}
        return {"label": x.label, **edges, "label2image": self.draw(nets, x), "image": x.image}


@dataclass(frozen=True, kw_only=True)
class Spade(Pix2PixHD):
    """Pictures from label maps that scale and shift every layer, in a style of choice (Park et al., 2019)."""

    api = 2
    recipe = Run(batch=32, size=256, epochs=200)

    lr: Rate = 1e-4
    lr_d: DRate = 4e-4
    betas: Moments = (0.0, 0.999)
    generator: Generator = "spade"
    loss: Game = "hinge"
    spectral: Annotated[bool, "spectral normalisation in the discriminators"] = True
    scales: Annotated[int, "discriminators, each at half the side of the one before", Ge(1), Le(5)] = 2
    patch_layers: Annotated[int, "stride-2 layers of each discriminator; 3 sees 70x70 pixels", Ge(1), Le(6)] = 4
    decay_from: Annotated[float, "share of the run after which the learning rate falls to 0", Gt(0), Le(1)] = 0.5
    style: Annotated[int, "numbers of a style, which an encoder finds in pictures; the paper's 256, 0: none", Ge(0)] = 0
    kld: Annotated[float, "weight of the divergence of styles from N(0, 1)", Ge(0)] = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.style and self.generator != "spade":
            raise UsageError(f"--style {self.style}: expected --generator spade, not {self.generator}")

    def networks(self, data: DataSpec) -> Networks:
        networks = super().networks(data)
        if not self.style:
            return networks
        generator: Callable[..., nn.Module] = networks["g"]
        return {
            **networks,
            "g": partial(generator, style=self.style, size=data.size),
            "e": partial(StyleEncoder, data.channels["image"], data.size, self.width, self.style),
        }

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        generator, *others = super().phases(data)
        if self.style:
            generator = replace(generator, updates=("g", "e"), noise={"z": Noise((self.style,))})
        return [generator, *others]

    def whole(self, nets: Nets, x: Batch) -> Terms:
        """With ``style``, from the picture's own one: a variational auto-encoder (section 3, multi-modal synthesis)."""
        if not self.style:
            return super().whole(nets, x)
        given = inputs_of(x)
        mean, log_variance = nets.e(x.image)
        style = mean + (0.5 * log_variance).exp() * x.z
        terms = self.terms(nets, x, given, nets.g(given, style), x.image)
        return {**terms, "kld": self.kld * self.style * divergence(mean, log_variance)}

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        (draw,) = super().directions(data)
        if not self.style:
            return [draw]
        style = {"style": drawn(Noise((self.style,)), "style, by the number that it is drawn with, or the mean one")}
        # A style's features are stretched over the whole picture, so that there are no tiles.
        return [
            replace(draw, margin=None, conditions=style),
            replace(
                draw,
                name="restyle",
                inputs=(*draw.input_names, "image"),
                roles=("g", "e"),
                run=self.restyle,
                margin=None,
            ),
        ]

    def draw(self, nets: Nets, x: Batch) -> Tensor:
        """With ``style``, a map in the style that the batch has."""
        return cast(Tensor, nets.g(inputs_of(x), x.style)) if self.style else super().draw(nets, x)

    def restyle(self, nets: Nets, x: Batch) -> Tensor:
        """A map in the style of a picture."""
        return cast(Tensor, nets.g(inputs_of(x), nets.e(x.image)[0]))

    def preview(self, nets: Nets, x: Batch, data: DataSpec) -> Mapping[str, Tensor]:
        """With ``style``, the result in the mean style, and that in the picture's own."""
        if not self.style:
            return super().preview(nets, x, data)
        mean = x.image.new_zeros(len(x.image), self.style)
        return {**super().preview(nets, Batch({**x, "style": mean}), data), "restyle": self.restyle(nets, x)}


def planes_of(data: DataSpec) -> int:
    """Channels of what the networks are given: the classes, and the edges where there are instances."""
    return data.channels["label"] + ("instances" in data.channels)


def inputs_of(x: Batch) -> Tensor:
    """Label planes, and the edges between instances where there are instance maps."""
    return torch.cat([x.label, edges_of(x.instances)], 1) if "instances" in x else x.label
