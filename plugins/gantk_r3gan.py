"""R3GAN: images from noise by a relativistic game with two penalties, without tricks (Huang et al., 2024)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from translate.contract import Batch, DataSpec, Direction, Nets, Networks, Noise, Phase, TaskModel, Terms
from translate.data.images import Images
from translate.discriminators.resnext import GroupedDiscriminator
from translate.generators.resnext import GroupedGenerator
from translate.generators.stylegan import resolutions
from translate.layers.factors import distances, edits
from translate.losses.adversarial import RelativisticPairingLoss
from translate.losses.penalties import logits_and_penalty
from translate.optimizers import Moments, Rate, fall
from translate.settings import Run

LOSS = RelativisticPairingLoss()
LAST_RATE, LAST_GAMMA = 0.25, 0.1
"""What the run ends with, as shares of what it begins with (from 2e-4 to 5e-5, and from 2 to 0.2)."""


@dataclass(frozen=True, kw_only=True)
class R3GAN(TaskModel):
    """Images from noise by a relativistic game with two penalties (Huang et al., 2024).

    Relativistic pairing with R1 and R2 in each step, residual blocks of grouped convolutions without normalisation, a
    rate and a gamma that fall by a cosine, an average of the weights. The defaults are those of the authors' code for
    faces of 64 pixels; its ``gamma`` is 0.05 for CIFAR-10, 150 for faces of 256 pixels. The run is the 20 million
    images in which that code's schedules fall. Adam's second moment stays at 0.99, where there it rises to it from
    0.9; the average has one length, where there it grows from 0; both players see the same real images. Augmentation
    is ``--ada``, whose strength follows the discriminator and not a schedule. Sides are 4 to 7 times a power of two.
    """

    api = 2
    source = Images
    recipe = Run(batch=256, size=64, steps=78_125, ema=0.99965)
    averaged = ("g",)

    lr: Rate = 2e-4
    betas: Moments = (0.0, 0.99)
    latent: Annotated[int, "numbers in a latent vector", Ge(1)] = 64
    width: Annotated[int, "channels of features of at most 32 pixels; half of it for each doubling", Ge(1)] = 768
    blocks: Annotated[int, "residual blocks at each side", Ge(1)] = 2
    expansion: Annotated[int, "channels inside a block per channel outside", Ge(1)] = 2
    group: Annotated[int, "channels of a group of the 3x3 convolutions", Ge(1)] = 16
    gamma: Annotated[float, "weight of R1 and R2 at the start; a tenth of it at the end", Ge(0)] = 2.0

    def networks(self, data: DataSpec) -> Networks:
        channels, size = data.channels["image"], data.size
        resolutions(size)  # refuses a size that they cannot have, before anything is built
        sizes = {"width": self.width, "blocks": self.blocks, "expansion": self.expansion, "group": self.group}
        return {
            "g": lambda: GroupedGenerator(channels, size, latent=self.latent, **sizes),
            "d": lambda: GroupedDiscriminator(channels, size, **sizes),
        }

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        noise = {"z": self.latents()}
        return [
            Phase("discriminator", ("d",), self.discriminator, noise=noise),
            Phase("generator", ("g",), self.generator, noise=noise),
        ]

    def discriminator(self, nets: Nets, x: Batch) -> Terms:
        """Equation 3 and both penalties, as in section 2.3: gamma / 2 times each squared gradient norm."""
        real, r1 = logits_and_penalty(nets.d, x.image)
        fake, r2 = logits_and_penalty(nets.d, nets.g(x.z))
        assert isinstance(real, Tensor)
        assert isinstance(fake, Tensor)
        x.scores("d", real=real, fake=fake)
        gamma = self.gamma_at(x.progress)
        return {"adv": LOSS.discriminator(real, fake), "r1": gamma * r1, "r2": gamma * r2}

    def generator(self, nets: Nets, x: Batch) -> Terms:
        return {"adv": LOSS.generator(nets.d(x.image), nets.d(nets.g(x.z)))}

    def gamma_at(self, progress: Tensor) -> Tensor:
        falling = (1 + torch.cos(math.pi * progress)) / 2
        return self.gamma * (LAST_GAMMA + (1 - LAST_GAMMA) * falling)

    def lr_at(self, progress: float) -> float:
        return LAST_RATE + (1 - LAST_RATE) * fall("cosine", progress)

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        moves = edits(self.latent)
        return [
            Direction("sample", "z", "image", ("g",), lambda nets, x: nets.g(x.z), latent=self.latents()),
            Direction(
                *("edit", "z", "image", ("g",)),
                lambda nets, x: nets.g(x.z, distances(x, moves)),
                latent=self.latents(),
                conditions=moves,
            ),
        ]

    def latents(self) -> Noise:
        return Noise((self.latent,))
