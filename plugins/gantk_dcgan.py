"""DCGAN: images from noise by convolutional networks (Radford, Metz and Chintala, 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor

from translate.contract import Batch, DataSpec, Direction, Nets, Networks, Noise, Phase, TaskModel, Terms
from translate.data.images import Images
from translate.discriminators.dcgan import DCGANDiscriminator, dcgan_halvings
from translate.errors import UsageError
from translate.generators.dcgan import DCGANGenerator, Projection
from translate.layers.norms import Norm
from translate.losses.adversarial import AdversarialLoss, GanLoss, adversarial
from translate.losses.penalties import gradient_penalty
from translate.settings import Run


@dataclass(frozen=True, kw_only=True)
class DCGAN(TaskModel):
    """Images from noise by convolutional networks (Radford et al., 2016)."""

    source = Images
    recipe = Run(batch=128, size=64, epochs=25)

    latent: Annotated[int, "numbers in a latent vector", Ge(1)] = 100
    noise: Annotated[Literal["normal", "uniform"], "law of the latents; the paper draws uniform ones"] = "normal"
    width: Annotated[int, "channels of both networks' layers next to the image", Ge(1)] = 64
    kernel: Annotated[Literal[4, 5], "side of all kernels"] = 4
    projection: Annotated[Projection, "first layer of the generator"] = "conv"
    extra: Annotated[int, "generator layers of stride 1 after the projection", Ge(0)] = 0
    slope: Annotated[float, "negative slope of the generator's rectifiers", Ge(0), Lt(1)] = 0.0
    d_norm: Annotated[Norm, "normalisation in the discriminator"] = "batch"
    dropout: Annotated[float, "dropout in the discriminator", Ge(0), Lt(1)] = 0.0
    spectral: Annotated[bool, "spectral norm in the discriminator"] = False
    loss: Annotated[GanLoss, "adversarial loss"] = "vanilla"
    real_label: Annotated[float, "the discriminator's target for real images; 0.9 smooths it", Gt(0), Le(1)] = 1.0
    penalty: Annotated[float, "weight of the gradient penalty (WGAN-GP has 10)", Ge(0)] = 0.0
    critic: Annotated[int, "discriminator updates per generator update", Ge(1)] = 1

    def __post_init__(self) -> None:
        if self.loss == "wasserstein" and not (self.penalty or self.spectral):
            raise UsageError("loss wasserstein: the critic needs a bound on its slope; set penalty 10 or spectral")
        if self.penalty and self.d_norm == "batch":
            raise UsageError("penalty: batch norm mixes the images that it compares; set d_norm instance or none")
        self.game()  # refuses a real_label where the loss has no labels

    def networks(self, data: DataSpec) -> Networks:
        channels = data.channels["image"]
        dcgan_halvings(data.size)  # refuses a size that they cannot have, before anything is built
        return {
            "g": lambda: DCGANGenerator(
                channels,
                data.size,
                latent=self.latent,
                base=self.width,
                kernel=self.kernel,
                projection=self.projection,
                extra=self.extra,
                slope=self.slope,
            ),
            "d": lambda: DCGANDiscriminator(
                channels,
                data.size,
                base=self.width,
                kernel=self.kernel,
                norm=self.d_norm,
                dropout=self.dropout,
                spectral=self.spectral,
            ),
        }

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        # The generator's phase sees the noise of the discriminator's, so that its fakes are the same ones, judged by
        # the discriminator as just updated: the order of the public codes. (In train mode the fakes do not depend on
        # the running statistics, which alone take in every batch twice, once per phase.)
        noise = {"z": self.latents()}
        if self.penalty:
            noise["between"] = Noise((), "uniform")
        return [
            Phase("discriminator", ("d",), self.discriminator, repeat=self.critic, noise=noise),
            Phase("generator", ("g",), self.generator),
        ]

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        return [Direction("sample", "z", "image", ("g",), lambda nets, x: nets.g(x.z), latent=self.latents())]

    def discriminator(self, nets: Nets, x: Batch) -> Terms:
        """Real and fake images go through separately: batch norm must not see them mixed."""
        game = self.game()
        fakes = nets.g(x.z)
        real, fake = nets.d(x.image), nets.d(fakes)
        x.log(d_real=self.verdict(real), d_fake=self.verdict(fake))
        terms = {"real": game.real(real), "fake": game.fake(fake)}
        if self.penalty:
            terms["penalty"] = self.penalty * gradient_penalty(nets.d, x.image, fakes, (x.between + 1) / 2)
        return terms

    def generator(self, nets: Nets, x: Batch) -> Terms:
        """The fakes of the discriminator's phase once more, now with a graph; d_fake is D(G(z)) after its update."""
        fake = nets.d(nets.g(x.z))
        x.log(d_fake=self.verdict(fake))
        return {"adv": self.game().generator(fake)}

    def latents(self) -> Noise:
        """The noise that images are made from."""
        return Noise((self.latent,), self.noise)

    def game(self) -> AdversarialLoss:
        """The loss that both players share."""
        return adversarial(self.loss, real_label=self.real_label)

    def verdict(self, logits: Tensor) -> Tensor:
        """D(x): the probability of being real under the vanilla loss, the plain output under the others."""
        return logits.sigmoid() if self.loss == "vanilla" else logits
