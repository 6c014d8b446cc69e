"""Wasserstein GANs: with clipped weights (Arjovsky et al., 2017) and with a penalty (Gulrajani et al., 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from translate.contract import Batch, DataSpec, Direction, Nets, Networks, Noise, Phase, TaskModel, Terms
from translate.data.images import Images
from translate.discriminators.dcgan import DCGANDiscriminator, dcgan_halvings
from translate.discriminators.resblocks import ResidualCritic
from translate.generators.dcgan import DCGANGenerator
from translate.generators.resblocks import ResidualGenerator, doublings
from translate.layers.norms import Norm
from translate.losses.adversarial import adversarial
from translate.losses.penalties import gradient_penalty
from translate.optimizers import SCHEDULE, Moment, Moments, Optimizer, Rate, Schedule
from translate.settings import Run


@dataclass(frozen=True, kw_only=True)
class WassersteinGAN(TaskModel):
    """What both have in common: a critic of several moves, whose loss is an estimate of a distance."""

    api = 2
    source = Images

    latent: Annotated[int, "numbers in a latent vector", Ge(1)] = 100
    critic: Annotated[int, "critic updates per generator update", Ge(1)] = 5

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        return [Direction("sample", "z", "image", ("g",), lambda nets, x: nets.g(x.z), latent=self.latents())]

    def estimate(self, nets: Nets, x: Batch, fakes: Tensor) -> dict[str, Tensor]:
        """The critic's terms; what they add up to, turned round, is the distance W(real, fake) (eq. 2 of the first)."""
        game = adversarial("wasserstein")
        terms = {"real": game.real(nets.d(x.image)), "fake": game.fake(nets.d(fakes))}
        x.log(distance=-(terms["real"] + terms["fake"]))
        return terms

    def generator(self, nets: Nets, x: Batch) -> Terms:
        return {"adv": adversarial("wasserstein").generator(nets.d(nets.g(x.z)))}

    def latents(self) -> Noise:
        return Noise((self.latent,))


@dataclass(frozen=True, kw_only=True)
class WGAN(WassersteinGAN):
    """Images from noise by a critic of clipped weights (Arjovsky et al., 2017).

    DCGAN's networks, RMSprop and algorithm 1 with the authors' schedule: 100 critic updates in each of the first 25
    steps and in each 500th. Weights are clipped after each update of the critic, the authors' code clips before.
    """

    api = 2
    recipe = Run(batch=64, size=64, epochs=100)

    lr: Rate = 5e-5
    betas: Annotated[tuple[Moment, Moment], "Adam moments; the second one is RMSprop's smoothing constant"] = (
        0.0,
        0.99,
    )
    optimizer: Annotated[Optimizer, "optimizer of all networks; betas are its moments or momentum"] = "rmsprop"
    width: Annotated[int, "channels of both networks' layers next to the image", Ge(1)] = 64
    d_norm: Annotated[Norm, "normalisation in the critic"] = "batch"
    clip_weights: Annotated[float, "largest size of a weight of the critic", Gt(0)] = 0.01
    critic_early: Annotated[int, "critic updates in each of the first 25 steps, and in each 500th", Ge(1)] = 100

    def networks(self, data: DataSpec) -> Networks:
        channels, size = data.channels["image"], data.size
        dcgan_halvings(size)  # refuses a size that they cannot have, before anything is built
        return {
            "g": lambda: DCGANGenerator(channels, size, latent=self.latent, width=self.width),
            "d": lambda: DCGANDiscriminator(channels, size, width=self.width, norm=self.d_norm, bias=False),
        }

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        def critic(name: str, repeat: int, every: int = 1, start: int = 0, stop: int | None = None) -> Phase:
            noise = {"z": self.latents()}
            return Phase(name, ("d",), self.critic_loss, every, repeat, start, stop, noise, self.clip)

        further = self.critic_early - self.critic
        return [
            critic("early", self.critic_early, stop=25),
            critic("critic", self.critic, start=25),
            *([critic("catch_up", further, every=500, start=500)] if further > 0 else []),
            Phase("generator", ("g",), self.generator, noise={"z": self.latents()}),
        ]

    def critic_loss(self, nets: Nets, x: Batch) -> Terms:
        return self.estimate(nets, x, nets.g(x.z))

    def clip(self, nets: Nets, values: Mapping[str, Tensor]) -> None:
        """All weights of the critic into [-clip_weights, clip_weights] (algorithm 1, line 7)."""
        weights = list(nets.d.parameters())
        torch._foreach_clamp_min_(weights, -self.clip_weights)
        torch._foreach_clamp_max_(weights, self.clip_weights)


@dataclass(frozen=True, kw_only=True)
class WGANGP(WassersteinGAN):
    """Images from noise by a critic whose slope is held at 1 (Gulrajani et al., 2017).

    Algorithm 1 with the paper's residual networks for CIFAR-10 (appendix F), any power of two from 16 wide, a rate that
    falls to 0 and, as in the authors' code, twice as many fakes for the generator as for the critic.
    """

    api = 2
    recipe = Run(batch=64, size=32, epochs=500)

    lr: Rate = 2e-4
    betas: Moments = (0.0, 0.9)
    lr_schedule: Annotated[Schedule, SCHEDULE] = "linear"
    latent: Annotated[int, "numbers in a latent vector", Ge(1)] = 128
    network: Annotated[Literal["resnet", "dcgan"], "residual blocks, or DCGAN's layers without norm in the critic"] = (
        "resnet"
    )
    width: Annotated[int, "channels of the residual blocks, or of DCGAN's layers next to the image", Ge(1)] = 128
    penalty: Annotated[float, "weight of the gradient penalty", Gt(0)] = 10.0

    def networks(self, data: DataSpec) -> Networks:
        channels, size = data.channels["image"], data.size
        if self.network == "resnet":
            doublings(size)  # refuses a size that they cannot have, before anything is built
            return {
                "g": lambda: ResidualGenerator(channels, size, latent=self.latent, width=self.width),
                "d": lambda: ResidualCritic(channels, size, width=self.width),
            }
        dcgan_halvings(size)
        return {
            "g": lambda: DCGANGenerator(channels, size, latent=self.latent, width=self.width),
            "d": lambda: DCGANDiscriminator(channels, size, width=self.width, norm="none"),
        }

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        noise = {"z": self.latents(), "between": Noise((), "uniform")}
        return [
            Phase("critic", ("d",), self.critic_loss, repeat=self.critic, noise=noise),
            Phase("generator", ("g",), self.generator, noise={"z": self.latents(), "more": self.latents()}),
        ]

    def critic_loss(self, nets: Nets, x: Batch) -> Terms:
        fakes = nets.g(x.z)
        penalty = gradient_penalty(nets.d, x.image, fakes, (x.between + 1) / 2)
        return {**self.estimate(nets, x, fakes), "penalty": self.penalty * penalty}

    def generator(self, nets: Nets, x: Batch) -> Terms:
        return {"adv": adversarial("wasserstein").generator(nets.d(nets.g(torch.cat([x.z, x.more]))))}
