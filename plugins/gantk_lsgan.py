"""LSGAN: images from noise by a game of least squares (Mao et al., 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import nn

from translate.contract import Batch, DataSpec, Direction, Nets, Networks, Noise, Phase, TaskModel, Terms
from translate.data.images import Images
from translate.discriminators.dcgan import DCGANDiscriminator, side_after
from translate.generators.lsgan import LSGANGenerator
from translate.losses.adversarial import adversarial
from translate.optimizers import Rate
from translate.settings import Run


@dataclass(frozen=True, kw_only=True)
class LSGAN(TaskModel):
    """Images from noise by a game of least squares (Mao et al., 2017).

    The paper's networks for 112 px scenes (figure 3), equation 9 with its factor of a half, and its rate. Where the
    paper's text is silent: latents are normal, weights start from N(0, 0.02), the discriminator's slope is 0.2.
    """

    api = 2
    source = Images
    recipe = Run(batch=64, size=112, epochs=50)

    lr: Rate = 1e-3
    latent: Annotated[int, "numbers in a latent vector", Ge(1)] = 1024
    width: Annotated[
        int, "channels of the generator's widest maps; the discriminator has a quarter to twice", Ge(4)
    ] = 256

    def networks(self, data: DataSpec) -> Networks:
        channels, size = data.channels["image"], data.size
        side_after(size, 4)  # refuses a size that they cannot have, before anything is built
        widths = [self.width * 2**depth // 4 for depth in range(4)]

        def generator() -> nn.Module:
            return LSGANGenerator(channels, size, latent=self.latent, width=self.width)

        return {"g": generator, "d": lambda: DCGANDiscriminator(channels, size, widths=widths, kernel=5)}

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        # The generator's phase sees the noise of the discriminator's, so that both concern the same fakes.
        return [
            Phase("discriminator", ("d",), self.discriminator, noise={"z": self.latents()}),
            Phase("generator", ("g",), self.generator),
        ]

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        return [Direction("sample", "z", "image", ("g",), lambda nets, x: nets.g(x.z), latent=self.latents())]

    def discriminator(self, nets: Nets, x: Batch) -> Terms:
        game = adversarial("lsgan")
        real, fake = nets.d(x.image), nets.d(nets.g(x.z))
        x.scores("d", real=2 * real - 1, fake=2 * fake - 1)  # 0 where it is undecided
        return {"real": 0.5 * game.real(real), "fake": 0.5 * game.fake(fake)}

    def generator(self, nets: Nets, x: Batch) -> Terms:
        return {"adv": 0.5 * adversarial("lsgan").generator(nets.d(nets.g(x.z)))}

    def latents(self) -> Noise:
        return Noise((self.latent,))
