"""CycleGAN: translation between two sets of pictures that need no partners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Le, Lt
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from translate.contract import Batch, DataSpec, Direction, Nets, Networks, Noise, Phase, TaskModel, Terms, linear_decay
from translate.data.unpaired import Unpaired
from translate.discriminators.patch import PatchDiscriminator, smallest_input
from translate.errors import UsageError
from translate.generators.resnet import ResnetGenerator, resnet_margin
from translate.layers.history import ImagePool
from translate.layers.resample import Downsample, Upsample
from translate.losses.adversarial import AdversarialLoss, GanLoss, adversarial
from translate.losses.penalties import gradient_penalty
from translate.settings import Run


@dataclass(frozen=True, kw_only=True)
class CycleGAN(TaskModel):
    """Unpaired translation between two image domains (Zhu et al., 2017)."""

    api = 2
    source = Unpaired
    recipe = Run(batch=1, size=256, epochs=200, ema=0.0)  # the paper publishes the weights of the last step
    averaged = ("g_ab", "g_ba")
    discriminators = ("d_a", "d_b")
    bf16_proven = True  # bench/RESULTS.md

    cycle: Annotated[float, "weight of the cycle-consistency term", Ge(0)] = 10.0
    identity: Annotated[float, "weight of the identity term, relative to cycle", Ge(0)] = 0.5
    pool: Annotated[int, "past fakes each discriminator is shown", Ge(0)] = 50
    blocks: Annotated[int | None, "residual blocks of a generator [9 from 256 pixels, else 6]", Ge(1)] = None
    width: Annotated[int, "channels of each network's first layer", Ge(1)] = 64
    upsample: Annotated[Upsample, "how generators upsample; resize and blur avoid checkerboards"] = "deconv"
    downsample: Annotated[Downsample, "how generators downsample; blur avoids aliasing"] = "stride"
    dropout: Annotated[float, "share of activations left out in residual blocks", Ge(0), Lt(1)] = 0.0
    patch_layers: Annotated[int, "stride-2 layers of a discriminator; 3 sees 70x70 pixels", Ge(0), Le(6)] = 3
    loss: Annotated[GanLoss, "adversarial loss"] = "lsgan"
    spectral: Annotated[bool, "spectral normalisation in the discriminators"] = False
    penalty: Annotated[float, "weight of the gradient penalty (10 for wasserstein)", Ge(0)] = 0.0

    def __post_init__(self) -> None:
        if self.loss == "wasserstein" and not (self.penalty or self.spectral):
            raise UsageError("loss wasserstein: the critic needs a bound on its slope; set penalty 10 or spectral")

    def networks(self, data: DataSpec) -> Networks:
        a, b = data.channels["a"], data.channels["b"]
        smallest = max(8, smallest_input(self.patch_layers))
        if data.size % 4 or data.size < smallest:
            raise UsageError(f"--size {data.size}: expected a multiple of 4, {smallest} or more")
        if self.identity and a != b:
            raise UsageError(f"identity {self.identity}: the domains have {a} and {b} channels; set identity to 0")

        def generator(channels_in: int, channels_out: int) -> nn.Module:
            return ResnetGenerator(
                channels_in,
                channels_out,
                self.width,
                self._blocks(data),
                dropout=self.dropout,
                upsample=self.upsample,
                downsample=self.downsample,
            )

        def discriminator(channels: int) -> nn.Module:
            return PatchDiscriminator(channels, self.width, self.patch_layers, spectral=self.spectral)

        return {
            "g_ab": lambda: generator(a, b),
            "g_ba": lambda: generator(b, a),
            "d_a": lambda: discriminator(a),
            "d_b": lambda: discriminator(b),
            "pool_a": lambda: ImagePool(self.pool, a, data.size),
            "pool_b": lambda: ImagePool(self.pool, b, data.size),
        }

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        # All that is random is noise of the phase, so that processes and micro-batches draw the same.
        noise = {"draws_a": ImagePool.DRAWS, "draws_b": ImagePool.DRAWS}
        if self.penalty:
            noise["between"] = Noise((), "uniform")
        return [
            Phase("generators", ("g_ab", "g_ba"), self.generator_loss),
            Phase("discriminators", ("d_a", "d_b"), self.discriminator_loss, noise=noise),
        ]

    def generator_loss(self, nets: Nets, x: Batch) -> Terms:
        """Fool both discriminators, come back to the original (eq. 2), leave the target domain as it is (5.2)."""
        terms: dict[str, Tensor] = {}
        if self.identity:
            # Two passes of a network in one: instance norm and dropout treat each image on its own.
            fake_b, same_b = _both(nets.g_ab, x.a, x.b)
            fake_a, same_a = _both(nets.g_ba, x.b, x.a)
            weight = self.cycle * self.identity
            terms = {"identity_a": weight * l1_loss(same_a, x.a), "identity_b": weight * l1_loss(same_b, x.b)}
        else:
            fake_b, fake_a = nets.g_ab(x.a), nets.g_ba(x.b)
        x.keep(fake_a=fake_a, fake_b=fake_b)
        return {
            "adv_a": self._game.generator(nets.d_a(fake_a)),
            "adv_b": self._game.generator(nets.d_b(fake_b)),
            "cycle_a": self.cycle * l1_loss(nets.g_ba(fake_b), x.a),
            "cycle_b": self.cycle * l1_loss(nets.g_ab(fake_a), x.b),
            **terms,
        }

    def discriminator_loss(self, nets: Nets, x: Batch) -> Terms:
        """Tell real images from past and present fakes; halved, so that they learn more slowly (appendix 7.1)."""
        return {
            **self._judge("a", nets.d_a, x, x.a, nets.pool_a(x.fake_a, x.draws_a)),
            **self._judge("b", nets.d_b, x, x.b, nets.pool_b(x.fake_b, x.draws_b)),
        }

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        margin = resnet_margin(self._blocks(data), self.upsample, self.downsample)
        return [
            Direction("a2b", "a", "b", ("g_ab",), lambda nets, x: nets.g_ab(x.a), multiple=4, margin=margin),
            Direction("b2a", "b", "a", ("g_ba",), lambda nets, x: nets.g_ba(x.b), multiple=4, margin=margin),
        ]

    def lr_at(self, progress: float) -> float:
        return linear_decay(progress, 0.5)

    def preview(self, nets: Nets, x: Batch, data: DataSpec) -> Mapping[str, Tensor]:
        """Each domain's image, its translation and the way back."""
        fake_b, fake_a = nets.g_ab(x.a), nets.g_ba(x.b)
        return {
            "a": x.a,
            "fake_b": fake_b,
            "rec_a": nets.g_ba(fake_b),
            "b": x.b,
            "fake_a": fake_a,
            "rec_b": nets.g_ab(fake_a),
        }

    def _judge(self, domain: str, critic: nn.Module, x: Batch, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        on_real, on_fake = _both(critic, real, fake)
        x.scores(f"d_{domain}", real=on_real, fake=on_fake)
        terms = {f"d_{domain}": 0.5 * self._game.discriminator(on_real, on_fake)}
        if self.penalty:
            terms[f"penalty_{domain}"] = self.penalty * gradient_penalty(critic, real, fake, (x.between + 1) / 2)
        return terms

    def _blocks(self, data: DataSpec) -> int:
        return self.blocks if self.blocks is not None else 9 if data.size >= 256 else 6

    @property
    def _game(self) -> AdversarialLoss:
        return adversarial(self.loss)


def _both(network: nn.Module, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """A network's outputs on two batches of one shape, run as one."""
    outputs: Tensor = network(torch.cat([first, second]))
    return outputs[: len(first)], outputs[len(first) :]
