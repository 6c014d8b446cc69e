"""The original GAN (Goodfellow et al., 2014): two multilayer perceptrons. The smallest task model, to read first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Lt
from torch import nn

from translate.contract import Batch, DataSpec, Direction, Nets, Networks, Noise, Phase, TaskModel, Terms
from translate.data.images import Images
from translate.layers.dense import Maxout, rectified
from translate.losses.adversarial import AdversarialLoss, adversarial
from translate.settings import Run

Units = Annotated[int, Ge(1)]


@dataclass(frozen=True, kw_only=True)
class GAN(TaskModel):
    """Images from noise by multilayer perceptrons (Goodfellow et al., 2014).

    The paper gives no sizes; these are those of its code for MNIST. The optimizer is Adam, which came later; the paper
    used stochastic gradient descent with momentum.
    """

    api = 2
    source = Images
    recipe = Run(batch=100, size=28, epochs=100)

    latent: Annotated[int, "numbers in a latent vector", Ge(1)] = 100
    noise: Annotated[Literal["normal", "uniform"], "distribution of the latents"] = "uniform"
    g_widths: Annotated[tuple[Units, ...], "units of the generator's hidden layers"] = (1200, 1200)
    d_widths: Annotated[tuple[Units, ...], "units of the discriminator's hidden layers"] = (240, 240)
    slope: Annotated[
        float | None, "leaky rectifiers of this slope in both; none: plain ones, and maxout units in D", Ge(0), Lt(1)
    ] = None
    dropout: Annotated[float, "dropout in the discriminator", Ge(0), Lt(1)] = 0.5
    saturating: Annotated[bool, "the generator minimises log(1 - D(G(z))), not -log D(G(z))"] = False

    def networks(self, data: DataSpec) -> Networks:
        shape = (data.channels["image"], data.size, data.size)
        pixels = math.prod(shape)

        def generator() -> nn.Module:
            return nn.Sequential(
                *rectified(self.latent, self.g_widths, self.rectifier),
                *(nn.Linear((self.latent, *self.g_widths)[-1], pixels), nn.Tanh()),  # a sigmoid stretched to [-1, 1]
                nn.Unflatten(1, shape),
            )

        def discriminator() -> nn.Module:
            layers: list[nn.Module] = [nn.Flatten()]
            for before, units in zip((pixels, *self.d_widths), self.d_widths, strict=False):
                layers += [Maxout(before, units)] if self.slope is None else rectified(before, [units], self.rectifier)
                layers.append(nn.Dropout(self.dropout))
            return nn.Sequential(*layers, nn.Linear((pixels, *self.d_widths)[-1], 1))

        return {"g": generator, "d": discriminator}

    def rectifier(self) -> nn.Module:
        return nn.LeakyReLU(self.slope or 0.0)

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        noise = {"z": self.latents()}
        return [
            Phase("discriminator", ("d",), self.discriminator, noise=noise),
            Phase("generator", ("g",), self.generator, noise=noise),
        ]

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        return [Direction("sample", "z", "image", ("g",), lambda nets, x: nets.g(x.z), latent=self.latents())]

    def discriminator(self, nets: Nets, x: Batch) -> Terms:
        real, fake = nets.d(x.image), nets.d(nets.g(x.z))
        x.scores("d", real=real, fake=fake)
        return {"real": self.game().real(real), "fake": self.game().fake(fake)}

    def generator(self, nets: Nets, x: Batch) -> Terms:
        return {"adv": self.game().generator(nets.d(nets.g(x.z)))}

    def latents(self) -> Noise:
        return Noise((self.latent,), self.noise)

    def game(self) -> AdversarialLoss:
        return adversarial("vanilla", saturating=self.saturating)
