"""Inpainting: holes of any shape, filled (Yu et al., 2019, arXiv 1806.03589, "free-form image inpainting").

What is done otherwise than in the paper and its code:

- The second stage has no branch of contextual attention, so that the whole is convolutions and runs in tiles.
- A step moves the generator first and the discriminator then, on the same results; the authors' code begins with the
  discriminator, whose last layer also has a leaky ReLU that is left out here, as in the paper's equation 3.
- User guidance (the paper's sketches) is not there.

Pixels that are known are those of the input, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Annotated, ClassVar, cast

import numpy as np
import torch
from annotated_types import Ge, Le
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from translate.contract import Batch, DataSpec, Direction, Nets, Networks, Phase, Source, TaskModel, Terms
from translate.data.derived import Derived
from translate.data.holes import draw_holes
from translate.errors import UsageError
from translate.generators.gated import HALVINGS, GatedGenerator, gated_margin
from translate.layers.norms import spectrally_normalised
from translate.losses.adversarial import adversarial
from translate.optimizers import Moments, Rate
from translate.settings import Run

GAME = adversarial("hinge")
MULTIPLE = 2**HALVINGS

Share = Annotated[float, Ge(0), Le(1)]


@dataclass(frozen=True, kw_only=True)
class Holed(Derived):
    """Pictures, ``x.image``, holes in them, ``x.mask``, 1 in a hole and -1 elsewhere, and both as ``x.cutout``.

    A cut-out has an alpha plane behind its colours, which is -1 (0 in a file) in the holes.
    """

    target: ClassVar[str] = "image"

    holes: Annotated[
        tuple[Share, Share, Share], "share of pictures with a rectangle, with brush strokes, with a missing side"
    ] = (1.0, 1.0, 0.0)

    @classmethod
    def channels_by_name(cls) -> Mapping[str, int]:
        return {"image": 3, "mask": 1, "cutout": 4}

    def derive(self, pictures: Tensor, generator: Generator) -> Mapping[str, Tensor]:
        rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        count, _, height, width = pictures.shape
        drawn = torch.from_numpy(draw_holes(rng, count, height, width, self.holes)).to(pictures)
        return {"mask": drawn * 2 - 1, "cutout": torch.cat([pictures * (1 - drawn), 1 - drawn * 2], 1)}


class PatchJudge(nn.Module):
    """SN-PatchGAN: every value of the last features is a logit (Yu et al., 2019, section 3.3).

    Pictures with the hole as their last plane, (N, channels + 1, H, W) -> (N, 4 * width, H / 2 ** layers, W / 2 **
    layers).
    """

    def __init__(self, channels: int, *, width: int, layers: int) -> None:
        super().__init__()
        widths = [channels + 1, *(width * min(2**depth, 4) for depth in range(layers))]
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 5, stride=2, padding=2) for before, after in pairwise(widths)
        )
        spectrally_normalised(self.layers)

    def forward(self, x: Tensor) -> Tensor:
        for number, layer in enumerate(self.layers):
            x = layer(x if number == 0 else F.leaky_relu(x, 0.2))
        return x


@dataclass(frozen=True, kw_only=True)
class Inpaint(TaskModel):
    """Holes filled by gated convolutions in two stages (Yu et al., 2019)."""

    api = 2
    source: ClassVar[type[Source]] = Holed
    recipe = Run(steps=1_000_000, batch=16, size=256, ema=0.0)  # the paper publishes the weights of the last step
    averaged = ("g",)

    lr: Rate = 1e-4
    betas: Moments = (0.5, 0.999)
    width: Annotated[int, "channels of the generator's first layers", Ge(2)] = 24
    d_width: Annotated[int, "channels of the discriminator's first layer", Ge(1)] = 64
    d_layers: Annotated[int, "stride-2 layers of the discriminator", Ge(2), Le(8)] = 6
    l1: Annotated[float, "weight of the mean absolute error of both stages", Ge(0)] = 1.0
    adversarial: Annotated[float, "weight of the adversarial term", Ge(0)] = 1.0

    def networks(self, data: DataSpec) -> Networks:
        if data.size % MULTIPLE:
            below = data.size // MULTIPLE * MULTIPLE
            raise UsageError(f"--size {data.size}: expected a multiple of {MULTIPLE}: {below} or {below + MULTIPLE}")
        channels = data.channels["image"]
        return {
            "g": partial(GatedGenerator, channels, width=self.width),
            "d": partial(PatchJudge, channels, width=self.d_width, layers=self.d_layers),
        }

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        return [Phase("generator", ("g",), self.fill), Phase("discriminator", ("d",), self.judge)]

    def fill(self, nets: Nets, x: Batch) -> Terms:
        """Be near the picture in both stages, and look real in its place (section 3.4)."""
        hole = holes_of(x.mask)
        coarse, fine = nets.g(x.image, hole)
        filled = torch.where(hole > 0, fine, x.image)
        x.keep(fake=filled)
        return {
            "coarse": self.l1 * F.l1_loss(coarse, x.image),
            "fine": self.l1 * F.l1_loss(fine, x.image),
            "adversarial": self.adversarial * GAME.generator(nets.d(torch.cat([filled, hole], 1))),
        }

    def judge(self, nets: Nets, x: Batch) -> Terms:
        """Equation 3, halved as in the authors' code."""
        hole = holes_of(x.mask)
        real, fake = nets.d(torch.cat([x.image, hole], 1)), nets.d(torch.cat([x.fake, hole], 1))
        x.scores("d", real=real, fake=fake)
        return {"real": 0.5 * GAME.real(real), "fake": 0.5 * GAME.fake(fake)}

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        margin = gated_margin()
        return [
            Direction("inpaint", "cutout", "image", ("g",), self.cutout, multiple=MULTIPLE, margin=margin),
            Direction(
                "inpaint-mask", ("image", "mask"), "image", ("g",), self.masked, multiple=MULTIPLE, margin=margin
            ),
        ]

    def cutout(self, nets: Nets, x: Batch) -> Tensor:
        """Fill where the alpha plane is below the middle."""
        return filled(nets, x.cutout[:, :-1], holes_of(-x.cutout[:, -1:]))

    def masked(self, nets: Nets, x: Batch) -> Tensor:
        """Fill where the mask is above the middle: white."""
        return filled(nets, x.image, holes_of(x.mask))

    def preview(self, nets: Nets, x: Batch, data: DataSpec) -> Mapping[str, Tensor]:
        return {"hole": x.cutout[:, :-1], "inpaint": self.cutout(nets, x), "image": x.image}


def holes_of(mask: Tensor) -> Tensor:
    """1 where a mask in [-1, 1] is above 0, and 0 elsewhere."""
    return (mask > 0).to(mask.dtype)


def filled(nets: Nets, image: Tensor, hole: Tensor) -> Tensor:
    """The picture with its holes filled, and nothing else changed."""
    fine = cast(Tensor, nets.g(image, hole)[1])
    return torch.where(hole > 0, fine.to(image.dtype), image)
