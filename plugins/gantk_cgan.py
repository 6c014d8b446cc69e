"""Conditional GAN: images of a class that one asks for (Mirza and Osindero, 2014)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Lt
from torch import Tensor, nn

from translate.conditions import choice
from translate.contract import Batch, DataSpec, Direction, Nets, Networks, Noise, Phase, TaskModel, Terms
from translate.data.labelled import Labelled
from translate.discriminators.dcgan import DCGANDiscriminator, dcgan_halvings
from translate.discriminators.perceptron import ConditionalMaxout
from translate.discriminators.projection import ProjectionDiscriminator
from translate.errors import UsageError
from translate.generators.dcgan import DCGANGenerator
from translate.generators.perceptron import ConditionalPerceptron
from translate.layers.labels import WithLabel
from translate.losses.adversarial import AdversarialLoss, GanLoss, adversarial
from translate.settings import Run


@dataclass(frozen=True, kw_only=True)
class CGAN(TaskModel):
    """Images of a class from noise (Mirza and Osindero, 2014).

    The perceptrons are the paper's for MNIST. The optimizer is Adam, where the paper had stochastic gradient descent
    whose rate falls from 0.1 by 1.00004 a step. The convolutional networks are DCGAN's, with the class beside the
    latent and on planes beside the image.
    """

    api = 2
    source = Labelled
    recipe = Run(batch=100, size=28, epochs=100)

    network: Annotated[Literal["mlp", "conv"], "perceptrons as in the paper, or DCGAN's convolutions"] = "mlp"
    latent: Annotated[int, "numbers in a latent vector", Ge(1)] = 100
    noise: Annotated[Literal["normal", "uniform"], "distribution of the latents"] = "uniform"
    width: Annotated[
        int | None, "units of mlp's first layers [200 and 240], channels of conv's layers next to the image [64]", Ge(1)
    ] = None
    dropout: Annotated[float | None, "dropout in the discriminator [0.5 in mlp, 0 in conv]", Ge(0), Lt(1)] = None
    g_dropout: Annotated[float, "dropout in mlp's generator, noise that sampling is without", Ge(0), Lt(1)] = 0.5
    projection: Annotated[bool, "projection discriminator (Miyato and Koyama, 2018), for conv"] = False
    spectral: Annotated[bool, "spectral norm in the discriminator instead of batch norm, for conv"] = False
    loss: Annotated[GanLoss, "adversarial loss"] = "vanilla"

    def __post_init__(self) -> None:
        if self.network == "mlp" and (self.projection or self.spectral):
            option = "projection" if self.projection else "spectral"
            raise UsageError(f"{option}: for convolutions alone; set network conv")
        if self.loss == "wasserstein" and not self.spectral:
            raise UsageError("loss wasserstein: the critic needs a bound on its slope; set network conv and spectral")

    def networks(self, data: DataSpec) -> Networks:
        channels, size, classes = data.channels["image"], data.size, len(data.names["label"])
        if self.network == "mlp":
            shape, g_dropout, dropout = (channels, size, size), self.g_dropout, self.dropout
            units, maxouts = self.width or 200, self.width or 240
            return {
                "g": lambda: ConditionalPerceptron(self.latent, classes, shape, width=units, dropout=g_dropout),
                "d": lambda: ConditionalMaxout(
                    math.prod(shape), classes, width=maxouts, dropout=0.5 if dropout is None else dropout
                ),
            }
        dcgan_halvings(size)  # refuses a size that they cannot have, before anything is built
        return {
            # A one-hot class of the size of a whole latent: with 1 for the class, it would hardly change a first map.
            "g": lambda: WithLabel(
                DCGANGenerator(channels, size, latent=self.latent + classes, width=self.width or 64),
                classes,
                weight=math.sqrt(self.latent),
            ),
            "d": lambda: self.convolutional(channels, size, classes),
        }

    def convolutional(self, channels: int, size: int, classes: int) -> nn.Module:
        """DCGAN's discriminator, by projection or with planes for the classes."""
        given = channels if self.projection else channels + classes
        net = DCGANDiscriminator(
            given,
            size,
            width=self.width or 64,
            norm="none" if self.spectral else "batch",
            dropout=self.dropout or 0.0,
            spectral=self.spectral and not self.projection,
        )
        if not self.projection:
            return WithLabel(net, classes)
        wide = (self.width or 64) * min(8, 2 ** (dcgan_halvings(size) - 1))
        return ProjectionDiscriminator(net.features, wide, classes, spectral=self.spectral)

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        # The second phase sees the noise of the first, so that both judge the same fakes.
        return [
            Phase("discriminator", ("d",), self.discriminator, noise={"z": self.latents()}),
            Phase("generator", ("g",), self.generator),
        ]

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        label = choice(data.names["label"], "class of the picture", soft=True)
        return [
            Direction(
                *("sample", "z", "image", ("g",)),
                lambda nets, x: nets.g(x.z, x.label),
                latent=self.latents(),
                conditions={"label": label},
            )
        ]

    def discriminator(self, nets: Nets, x: Batch) -> Terms:
        """Fakes have the classes of the batch's images (eq. 2)."""
        real, fake = nets.d(x.image, x.label), nets.d(nets.g(x.z, x.label), x.label)
        x.scores("d", real=self.verdict(real), fake=self.verdict(fake))
        return {"real": self.game().real(real), "fake": self.game().fake(fake)}

    def generator(self, nets: Nets, x: Batch) -> Terms:
        return {"adv": self.game().generator(nets.d(nets.g(x.z, x.label), x.label))}

    def latents(self) -> Noise:
        return Noise((self.latent,), self.noise)

    def game(self) -> AdversarialLoss:
        return adversarial(self.loss)

    def verdict(self, logits: Tensor) -> Tensor:
        """0 where the discriminator is undecided, more for real images."""
        return 2 * logits - 1 if self.loss == "lsgan" else logits
