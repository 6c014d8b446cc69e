"""SinCUT: one picture in the manner of another one (Park et al., 2020, arXiv 2007.15651).

CUT on patches of a single large picture of each domain: a patch of the output is compared with those of the whole
batch, since all of them show one picture. Networks are the small ones of StyleGAN2's blocks of the authors' code.

What is done otherwise than in that code:

- A step moves generator and projection first and the discriminator then, on the same outputs; theirs starts with the
  discriminator.
- Each patch is shrunk by factors of its own, theirs by one pair of factors for a batch, with a bilinear filter where
  ours is bicubic; it is cut anywhere, theirs at the places of a grid of random offset.
- Each patch compares a place of its own with the others, theirs the same place in all of them.
- The noise that the generator adds is left out at inference; theirs draws it there too.
- Patches may have a side of 5, 6 or 7 times a power of two, which then is that of the discriminator's last features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, cast

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from torch.nn.functional import l1_loss

from translate.contract import Batch, DataSpec, Direction, Nets, Networks, Noise, Phase, TaskModel, Terms, linear_decay
from translate.data.single import SinglePictures
from translate.discriminators.sincut import SinCUTDiscriminator
from translate.errors import UsageError
from translate.generators.sincut import SinCUTGenerator, sincut_margin
from translate.generators.stylegan import channels_at, resolutions
from translate.layers.projection import Projection
from translate.losses.adversarial import adversarial
from translate.losses.contrastive import contrast
from translate.losses.penalties import logits_and_penalty
from translate.optimizers import Moments, Rate
from translate.settings import Run

GAME = adversarial("vanilla")
"""Non-saturating logistic loss."""


@dataclass(frozen=True, kw_only=True)
class SinCUT(TaskModel):
    """Translation of one picture, learnt from it and one other picture by contrasting patches (Park et al., 2020)."""

    api = 2
    source = SinglePictures
    recipe = Run(batch=16, size=64, steps=100_000, ema=0.0)  # 16 epochs of 100,000 patches
    averaged = ("g",)
    compares_samples = True

    lr: Rate = 2e-3
    betas: Moments = (0.0, 0.99)
    nce: Annotated[float, "weight of the patch-wise contrastive term", Ge(0)] = 4.0
    identity: Annotated[float, "weight of the L1 difference between patches of b and the same repainted", Ge(0)] = 1.0
    r1: Annotated[float, "weight of R1, half the squared slope of the discriminator at real patches", Ge(0)] = 1.0
    temperature: Annotated[float, "of the contrast: lower is stricter", Gt(0)] = 0.07
    places: Annotated[int, "places of each patch that are compared with those of the whole batch", Ge(1)] = 1
    projection: Annotated[int, "channels in which places are compared", Ge(1)] = 256
    width: Annotated[
        int, "channels of the generator: 8 times as many at a side of 64, doubled at half of it", Ge(1)
    ] = 10
    d_width: Annotated[int, "channels of the discriminator: 4 times as many at a side of 64, to 384", Ge(1)] = 8

    def networks(self, data: DataSpec) -> Networks:
        a, b = data.channels["a"], data.channels["b"]
        resolutions(data.size)  # refuses a size that the discriminator cannot have, before anything is built
        if data.size % 2:
            raise UsageError(f"--size {data.size}: expected an even number")
        if a != b:
            raise UsageError(
                f"the domains have {a} and {b} channels; SinCUT compares their pictures: expected equal numbers"
            )
        half = channels_at(data.size // 2, 512 * self.width, 512)
        return {
            "g": partial(SinCUTGenerator, a, data.size, self.width),
            "f": partial(Projection, (a, half, half), self.projection),
            "d": partial(SinCUTDiscriminator, b, data.size, self.d_width),
        }

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        # Of each patch of a and of each of b: places in three layers, and what the generator adds.
        noise = {
            "drawn": Noise((2, 3, self.places), "uniform"),
            "grain": Noise((2, data.size, data.size)),
        }
        return [Phase("translate", ("g", "f"), self.translate, noise=noise), Phase("judge", ("d",), self.judge)]

    def translate(self, nets: Nets, x: Batch) -> Terms:
        """Look real, match the input place by place, and leave patches of b as they are."""
        both, grain = torch.cat([x.a, x.b]), torch.cat(x.grain.split(1, 1))
        before = nets.g.encode(both)
        after = nets.g.decode(before[-1], grain)
        contrast_a, contrast_b = self.contrasts(nets, x, compared(both, before), compared(after, nets.g.encode(after)))
        fake, same = after.chunk(2)
        x.keep(fake=fake)
        return {
            "adv": GAME.generator(nets.d(fake)),
            "nce": self.nce / 2 * contrast_a,
            "nce_identity": self.nce / 2 * contrast_b,
            "identity": self.identity * l1_loss(same, x.b),
        }

    def contrasts(self, nets: Nets, x: Batch, before: list[Tensor], after: list[Tensor]) -> list[Tensor]:
        """The contrastive losses between patches and their translations: of those of a, and of those of b.

        ``before``, ``after``: layers of both, those of a first. Places are compared over all patches of one picture.
        """
        keys, queries = (zip(*(layer.chunk(2) for layer in layers), strict=True) for layers in (before, after))
        halves = zip(queries, keys, x.drawn.unbind(1), strict=True)
        return [contrast(nets.f, q, k, at, self.temperature, across=True) for q, k, at in halves]

    def judge(self, nets: Nets, x: Batch) -> Terms:
        """Tell patches of b from translations, halved as in CUT, with R1 on every step."""
        real, slope = logits_and_penalty(nets.d, x.b)
        fake = nets.d(x.fake)
        x.scores("d", real=cast(Tensor, real), fake=fake)
        return {"adv": 0.5 * GAME.discriminator(real, fake), "r1": self.r1 * slope}

    def lr_at(self, progress: float) -> float:
        return linear_decay(progress, 0.5)

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        margin = sincut_margin()
        return [Direction("a2b", "a", "b", ("g",), lambda nets, x: nets.g(x.a), multiple=2, margin=margin)]

    def preview(self, nets: Nets, x: Batch, data: DataSpec) -> Mapping[str, Tensor]:
        """Patches, their translations, patches of b, and these repainted."""
        return {"a": x.a, "a2b": nets.g(x.a), "b": x.b, "b2b": nets.g(x.b)}


def compared(image: Tensor, layers: Sequence[Tensor]) -> list[Tensor]:
    """What is compared: the picture, and of the layers the halving block and the second one after it."""
    return [image, layers[0], layers[2]]
