"""The original GAN (Goodfellow et al., 2014): two multilayer perceptrons. The smallest task model, to read first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Lt
from torch import Tensor, nn

from translate.contract import Batch, DataSpec, Direction, Nets, Networks, Noise, Phase, TaskModel, Terms
from translate.data.images import Images
from translate.losses.adversarial import AdversarialLoss, adversarial
from translate.settings import Run


class Maxout(nn.Module):
    """The largest of ``pieces`` linear maps, for each unit (Goodfellow et al., 2013)."""

    def __init__(self, before: int, units: int, pieces: int = 5) -> None:
        super().__init__()
        self.linear = nn.Linear(before, units * pieces)
        self.units = units

    def forward(self, x: Tensor) -> Tensor:
        pieces: Tensor = self.linear(x).unflatten(1, (self.units, -1))
        return pieces.amax(dim=2)


@dataclass(frozen=True, kw_only=True)
class GAN(TaskModel):
    """Images from noise by multilayer perceptrons (Goodfellow et al., 2014).

    The optimizer is Adam, which came later; the paper used stochastic gradient descent with momentum.
    """

    source = Images
    recipe = Run(batch=100, size=28, epochs=100)

    latent: Annotated[int, "numbers in a latent vector", Ge(1)] = 100
    hidden: Annotated[int, "units in each hidden layer of the generator", Ge(1)] = 1200
    units: Annotated[int, "maxout units in each hidden layer of the discriminator", Ge(1)] = 240
    dropout: Annotated[float, "dropout in the discriminator", Ge(0), Lt(1)] = 0.5
    saturating: Annotated[bool, "the generator minimises log(1 - D(G(z))), not -log D(G(z))"] = False

    def networks(self, data: DataSpec) -> Networks:
        shape = (data.channels["image"], data.size, data.size)
        pixels = math.prod(shape)

        def generator() -> nn.Module:
            return nn.Sequential(
                *(nn.Linear(self.latent, self.hidden), nn.ReLU()),
                *(nn.Linear(self.hidden, self.hidden), nn.ReLU()),
                *(nn.Linear(self.hidden, pixels), nn.Tanh()),  # the paper's sigmoid, stretched to [-1, 1]
                nn.Unflatten(1, shape),
            )

        def discriminator() -> nn.Module:
            return nn.Sequential(
                nn.Flatten(),
                *(Maxout(pixels, self.units), nn.Dropout(self.dropout)),
                *(Maxout(self.units, self.units), nn.Dropout(self.dropout)),
                nn.Linear(self.units, 1),
            )

        return {"g": generator, "d": discriminator}

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
        x.log(d_real=real.sigmoid(), d_fake=fake.sigmoid())
        return {"real": self.game().real(real), "fake": self.game().fake(fake)}

    def generator(self, nets: Nets, x: Batch) -> Terms:
        return {"adv": self.game().generator(nets.d(nets.g(x.z)))}

    def latents(self) -> Noise:
        return Noise((self.latent,), "uniform")

    def game(self) -> AdversarialLoss:
        return adversarial("vanilla", saturating=self.saturating)
