"""BigGAN: SAGAN made larger (Brock, Donahue and Simonyan, 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt

from gantk_sagan import SAGAN
from translate.contract import Batch, DataSpec, Nets, Networks, Terms
from translate.discriminators.biggan import class_discriminator
from translate.generators.biggan import ClassGenerator, pieces
from translate.layers.init import init_orthogonal
from translate.losses.orthogonal import orthogonal
from translate.optimizers import Moments, Rate
from translate.settings import Run


@dataclass(frozen=True, kw_only=True)
class BigGAN(SAGAN):
    """Images of a class at a large scale, with truncation (Brock et al., 2019).

    The numbers of 128 px (appendices B and C), for a batch of 2048. Fakes have the classes of the batch's images, where
    the authors draw them evenly. The moving average starts at once and forgets its start.
    """

    api = 2
    recipe = Run(batch=2048, size=128, epochs=200, ema=0.9999)

    lr: Rate = 5e-5
    lr_d: Annotated[float | None, "learning rate of the discriminators [that of the others]", Gt(0)] = 2e-4
    betas: Moments = (0.0, 0.999)
    latent: Annotated[int, "numbers in a latent vector, which is cut into a piece for each block", Ge(1)] = 120
    width: Annotated[int, "channels of which all layers have a multiple", Ge(1)] = 96
    embedding: Annotated[int, "numbers in the embedding of a class, which all norms share", Ge(1)] = 128
    attention: Annotated[int | None, "side of maps with self-attention, 0 for none [64, or half of --size]", Ge(0)] = (
        None
    )
    critic: Annotated[int, "discriminator updates per generator update", Ge(1)] = 2
    orthogonal: Annotated[float, "weight of the orthogonal regularisation of the generator", Ge(0)] = 1e-4

    def networks(self, data: DataSpec) -> Networks:
        channels, size, classes = data.channels["image"], data.size, len(data.names["label"])
        side = self.attended(size, 64)
        pieces(self.latent, size)  # refuses a latent that cannot be cut, before anything is built
        return {
            "g": lambda: ClassGenerator(
                *(channels, size, classes),
                latent=self.latent,
                width=self.width,
                embedding=self.embedding,
                attention=side,
                init=init_orthogonal,
            ),
            "d": lambda: class_discriminator(
                channels, size, classes, width=self.width, attention=side, init=init_orthogonal
            ),
        }

    def generator(self, nets: Nets, x: Batch) -> Terms:
        terms = dict(super().generator(nets, x))
        if self.orthogonal:
            terms["orthogonal"] = self.orthogonal * orthogonal(nets.g)
        return terms
