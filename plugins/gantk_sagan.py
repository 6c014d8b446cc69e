"""SAGAN: images of a class by networks with self-attention (Zhang, Goodfellow, Metaxas and Odena, 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt
from torch import Tensor

from translate.conditions import choice, number
from translate.contract import Batch, DataSpec, Direction, Nets, Networks, Noise, Phase, TaskModel, Terms
from translate.data.labelled import Labelled
from translate.discriminators.biggan import class_discriminator
from translate.errors import UsageError
from translate.generators.biggan import ClassGenerator, multiples
from translate.layers.init import init_xavier
from translate.losses.adversarial import adversarial
from translate.optimizers import Moments, Rate
from translate.settings import Run


@dataclass(frozen=True, kw_only=True)
class SAGAN(TaskModel):
    """Images of a class by networks with self-attention (Zhang et al., 2019).

    Fakes have the classes of the batch's images, where the authors draw them evenly. The paper's networks are those for
    128 px; those for 32, 64 and 256 px are BigGAN's.
    """

    api = 2
    source = Labelled
    recipe = Run(batch=256, size=128, epochs=200, ema=0.0)  # the paper publishes the weights of the last step
    averaged = ("g",)

    lr: Rate = 1e-4
    lr_d: Annotated[float | None, "learning rate of the discriminators [that of the others]", Gt(0)] = 4e-4
    betas: Moments = (0.0, 0.9)
    latent: Annotated[int, "numbers in a latent vector", Ge(1)] = 128
    width: Annotated[int, "channels of which all layers have a multiple", Ge(1)] = 64
    attention: Annotated[int | None, "side of maps with self-attention, 0 for none [32, or half of --size]", Ge(0)] = (
        None
    )
    critic: Annotated[int, "discriminator updates per generator update", Ge(1)] = 1

    def networks(self, data: DataSpec) -> Networks:
        channels, size, classes = data.channels["image"], data.size, len(data.names["label"])
        side = self.attended(size)
        return {
            "g": lambda: ClassGenerator(
                *(channels, size, classes),
                latent=self.latent,
                width=self.width,
                embedding=0,
                attention=side,
                init=init_xavier,
            ),
            "d": lambda: class_discriminator(
                channels, size, classes, width=self.width, attention=side, init=init_xavier
            ),
        }

    def attended(self, size: int, usual: int = 32) -> int:
        """Side of the maps with self-attention; ``UsageError`` where the networks have no such maps."""
        multiples(size)  # refuses a size that they cannot have, before anything is built
        side = min(usual, size // 2) if self.attention is None else self.attention
        sides = [half for half in (8, 16, 32, 64, 128) if half < size]
        if side not in (0, *sides):
            raise UsageError(
                f"attention {side}: maps have sides {', '.join(map(str, sides))}; expected one of these, or 0"
            )
        return side

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        noise = {"z": self.latents()}
        return [
            Phase("discriminator", ("d",), self.discriminator, repeat=self.critic, noise=noise),
            Phase("generator", ("g",), self.generator, noise=noise, after=self.gather),
        ]

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        conditions = {
            "label": choice(data.names["label"], "class of the picture", soft=True),
            "truncation": number(0, 4, "largest number in a latent: less gives better pictures, and less variety", 4),
        }
        return [
            Direction(
                *("sample", "z", "image", ("g",)),
                lambda nets, x: nets.g(x.z, x.label, x.truncation),
                latent=self.latents(),
                conditions=conditions,
            )
        ]

    def discriminator(self, nets: Nets, x: Batch) -> Terms:
        game = adversarial("hinge")
        real, fake = nets.d(x.image, x.label), nets.d(nets.g(x.z, x.label), x.label)
        x.scores("d", real=real, fake=fake)
        return {"real": game.real(real), "fake": game.fake(fake)}

    def generator(self, nets: Nets, x: Batch) -> Terms:
        return {"adv": adversarial("hinge").generator(nets.d(nets.g(x.z, x.label), x.label))}

    def gather(self, nets: Nets, values: Mapping[str, Tensor]) -> None:
        """Standing statistics for one truncation more."""
        nets.g.gather()

    def latents(self) -> Noise:
        return Noise((self.latent,))
