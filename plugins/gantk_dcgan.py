"""DCGAN: images from noise by convolutional networks (Radford, Metz and Chintala, 2016), and what came after it.

Minibatch discrimination and feature matching (Salimans et al., 2016), unrolled steps (Metz et al., 2017) and noise on
the discriminator's images (Sønderby et al., 2017) are options.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor

from translate.contract import Batch, DataSpec, Direction, Nets, Networks, Noise, Phase, TaskModel, Terms
from translate.data.images import Images
from translate.discriminators.dcgan import DCGANDiscriminator
from translate.errors import UsageError
from translate.generators.dcgan import DCGANGenerator, Projection, first_side
from translate.layers.norms import Norm
from translate.losses.adversarial import AdversarialLoss, GanLoss, adversarial
from translate.losses.penalties import gradient_penalty
from translate.losses.unrolled import unrolled
from translate.settings import Run

Width = Annotated[int, Ge(1)]


@dataclass(frozen=True, kw_only=True)
class DCGAN(TaskModel):
    """Images from noise by convolutional networks (Radford et al., 2016)."""

    api = 2
    source = Images
    recipe = Run(batch=128, size=64, epochs=25)

    latent: Annotated[int, "numbers in a latent vector", Ge(1)] = 100
    noise: Annotated[Literal["normal", "uniform"], "distribution of the latents; the paper's is uniform"] = "normal"
    width: Annotated[int, "channels of both networks' layers next to the image", Ge(1)] = 64
    g_widths: Annotated[
        tuple[Width, ...], "channels of the generator's maps, from the smallest on [doubling from width]"
    ] = ()
    d_widths: Annotated[
        tuple[Width, ...], "channels of the discriminator's maps, from the largest on [doubling from width]"
    ] = ()
    kernel: Annotated[Literal[4, 5], "side of all kernels"] = 4
    projection: Annotated[Projection, "first layer of the generator"] = "conv"
    extra: Annotated[int, "generator layers of stride 1 after the projection", Ge(0)] = 0
    slope: Annotated[float, "negative slope of the generator's rectifiers", Ge(0), Lt(1)] = 0.0
    d_slope: Annotated[float, "negative slope of the discriminator's rectifiers", Ge(0), Lt(1)] = 0.2
    d_norm: Annotated[Norm, "normalisation in the discriminator"] = "batch"
    d_bias: Annotated[bool, "biases in the discriminator, where no batch norm follows"] = True
    bn_momentum: Annotated[float, "share of a new batch in batch norm's running statistics", Gt(0), Le(1)] = 0.1
    bn_eps: Annotated[float, "what batch norm adds to a variance", Gt(0)] = 1e-5
    dropout: Annotated[float, "dropout in the discriminator", Ge(0), Lt(1)] = 0.0
    spectral: Annotated[bool, "spectral norm in the discriminator"] = False
    minibatch: Annotated[int, "kernels of minibatch discrimination (the paper's code has 100); 0: none", Ge(0)] = 0
    loss: Annotated[GanLoss, "adversarial loss"] = "vanilla"
    real_label: Annotated[float, "the discriminator's target for real images; 0.9 smooths it", Gt(0), Le(1)] = 1.0
    feature_matching: Annotated[bool, "the generator matches the mean features of D, instead of deceiving it"] = False
    penalty: Annotated[float, "weight of the gradient penalty (WGAN-GP has 10)", Ge(0)] = 0.0
    critic: Annotated[int, "discriminator updates per generator update", Ge(1)] = 1
    simultaneous: Annotated[bool, "both players move at once: D does not see images of the G just updated"] = False
    unroll: Annotated[int, "steps by which the generator's rival is ahead of its time", Ge(0)] = 0
    unroll_lr: Annotated[float, "rate of these steps, which are plain gradient descent", Gt(0)] = 0.1
    instance_noise: Annotated[
        float, "deviation of noise on D's images at the start; it falls to 0 in a straight line", Ge(0)
    ] = 0.0

    def __post_init__(self) -> None:
        if self.loss == "wasserstein" and not (self.penalty or self.spectral):
            raise UsageError("loss wasserstein: the critic needs a bound on its slope; set penalty 10 or spectral")
        if self.penalty and self.d_norm == "batch":
            raise UsageError("penalty: batch norm mixes the images that it compares; set d_norm instance or none")
        if self.penalty and self.minibatch:
            raise UsageError("penalty: minibatch discrimination mixes the images that it compares; set minibatch 0")
        if self.simultaneous and self.critic > 1:
            raise UsageError(f"simultaneous: both players move once; expected critic 1, found {self.critic}")
        if self.feature_matching and self.unroll:
            raise UsageError("feature_matching: unrolled steps move the logits alone; set unroll 0")
        self.game()  # refuses a real_label where the loss has no labels

    @property
    def compares_samples(self) -> bool:  # type: ignore[override]
        """Minibatch discrimination and feature matching look at a whole batch, and unrolled steps learn from it."""
        return bool(self.minibatch or self.unroll) or self.feature_matching

    def networks(self, data: DataSpec) -> Networks:
        channels = data.channels["image"]
        # What cannot be is refused before anything is built.
        first_side(data.size, self.g_widths, self.extra)
        first_side(data.size, self.d_widths[::-1], 0)
        return {
            "g": lambda: DCGANGenerator(
                channels,
                data.size,
                latent=self.latent,
                width=self.width,
                widths=self.g_widths,
                kernel=self.kernel,
                projection=self.projection,
                extra=self.extra,
                slope=self.slope,
                momentum=self.bn_momentum,
                eps=self.bn_eps,
            ),
            "d": lambda: DCGANDiscriminator(
                channels,
                data.size,
                width=self.width,
                widths=self.d_widths,
                kernel=self.kernel,
                norm=self.d_norm,
                slope=self.d_slope,
                bias=self.d_bias,
                dropout=self.dropout,
                spectral=self.spectral,
                minibatch=self.minibatch,
                momentum=self.bn_momentum,
                eps=self.bn_eps,
            ),
        }

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        # The second phase sees the noise of the first, so that the fakes are the same ones. In the order of the public
        # PyTorch codes the generator's are judged by the discriminator as just updated. (In train mode the fakes do
        # not depend on the running statistics, which alone take in every batch twice, once per phase.) The generator
        # first, which hands on its fakes, is the step of TensorFlow's tutorial: neither sees the other's update.
        noise = {"z": self.latents()}
        if self.penalty:
            noise["between"] = Noise((), "uniform")
        if self.instance_noise:
            shape = (data.channels["image"], data.size, data.size)
            noise |= {"on_real": Noise(shape), "on_fake": Noise(shape)}
        first, second = (noise, {}) if self.simultaneous else ({}, noise)
        generator = Phase("generator", ("g",), self.generator, noise=first)
        discriminator = Phase("discriminator", ("d",), self.discriminator, repeat=self.critic, noise=second)
        return [generator, discriminator] if self.simultaneous else [discriminator, generator]

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        return [Direction("sample", "z", "image", ("g",), lambda nets, x: nets.g(x.z), latent=self.latents())]

    def discriminator(self, nets: Nets, x: Batch) -> Terms:
        """Real and fake images go through separately: batch norm must not see them mixed."""
        game = self.game()
        fakes = x.fakes if self.simultaneous else nets.g(x.z)
        real, fake = nets.d(self.noisy(x, "on_real", x.image)), nets.d(self.noisy(x, "on_fake", fakes))
        if self.loss == "wasserstein":
            x.log(d_real=real, d_fake=fake)  # of which only the difference means something
        else:
            x.scores("d", real=self.verdict(real), fake=self.verdict(fake))
        terms = {"real": game.real(real), "fake": game.fake(fake)}
        if self.penalty:
            terms["penalty"] = self.penalty * gradient_penalty(nets.d, x.image, fakes, (x.between + 1) / 2)
        return terms

    def generator(self, nets: Nets, x: Batch) -> Terms:
        """The fakes of the discriminator's phase with a graph; d_fake is D(G(z)) as this phase finds D."""
        fakes = nets.g(x.z)
        if self.simultaneous:
            x.keep(fakes=fakes)
        shown = self.noisy(x, "on_fake", fakes)
        if self.feature_matching:
            # Equation in section 3.1: the squared distance of the means, over the features before the last layer.
            real = nets.d(self.noisy(x, "on_real", x.image), features=True).mean(0)
            return {"features": (real - nets.d(shown, features=True).mean(0)).square().sum()}
        rival = nets.d
        if self.unroll:
            real = self.noisy(x, "on_real", x.image)
            rival = unrolled(nets.d, self.game(), real, shown, steps=self.unroll, rate=self.unroll_lr)
        fake = rival(shown)
        x.log(d_fake=self.verdict(fake))
        return {"adv": self.game().generator(fake)}

    def noisy(self, x: Batch, noise: str, images: Tensor) -> Tensor:
        """Images with the instance noise of that name, which is gone by the end of the run."""
        return images + self.instance_noise * (1 - x.progress) * x[noise] if self.instance_noise else images

    def latents(self) -> Noise:
        """The noise that images are made from."""
        return Noise((self.latent,), self.noise)

    def game(self) -> AdversarialLoss:
        """The loss that both players share."""
        return adversarial(self.loss, real_label=self.real_label)

    def verdict(self, logits: Tensor) -> Tensor:
        """0 where the discriminator is undecided, more for real images."""
        return 2 * logits - 1 if self.loss == "lsgan" else logits
