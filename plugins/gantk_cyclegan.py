"""CycleGAN: translation between two sets of pictures that need no partners."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Le, Lt
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from translate.contract import (
    Batch,
    DataSpec,
    Direction,
    Nets,
    Networks,
    Noise,
    Phase,
    TaskModel,
    Terms,
    linear_decay,
    ramped,
)
from translate.data.unpaired import Unpaired
from translate.discriminators.multiscale import patch_discriminator, smallest_side
from translate.errors import UsageError
from translate.generators.resnet import ResnetGenerator, resnet_margin
from translate.layers.history import ImagePool
from translate.layers.resample import Downsample, Upsample
from translate.losses.adversarial import Game, GameLoss, Logits, score_of
from translate.losses.penalties import EVERY, R1, R2, PenaltyOn, gradient_penalty, lazy_penalties
from translate.settings import Run


@dataclass(frozen=True, kw_only=True)
class Cycle(TaskModel):
    """The game of CycleGAN, whatever its networks: two generators that undo each other, two discriminators.

    A model states its generators, its discriminators and ``multiple``, of which the sides of a picture are multiples.
    """

    source = Unpaired
    averaged = ("g_ab", "g_ba")
    discriminators = ("d_a", "d_b")
    multiple: ClassVar[int]

    cycle: Annotated[float, "weight of the cycle-consistency term", Ge(0)] = 10.0
    cycle_b: Annotated[float | None, "the same for pictures of b, there and back [that of a]", Ge(0)] = None
    identity: Annotated[float, "weight of the identity term, relative to cycle", Ge(0)] = 0.5
    pool: Annotated[int, "past fakes each discriminator is shown", Ge(0)] = 50
    patch_layers: Annotated[int, "stride-2 layers of a discriminator; 3 sees 70x70 pixels", Ge(0), Le(6)] = 3
    scales: Annotated[int, "discriminators of a domain, each at half the side of the one before", Ge(1), Le(5)] = 1
    loss: Annotated[GameLoss, "adversarial loss"] = "lsgan"
    spectral: Annotated[bool, "spectral normalisation in the discriminators"] = False
    penalty: Annotated[float, "weight of the gradient penalty (10 for wasserstein)", Ge(0)] = 0.0
    penalty_on: PenaltyOn = "mean"
    r1: R1 = 0.0
    r2: R2 = 0.0
    ramp: Annotated[int, "steps at the start in which the weight of the adversarial terms rises from 0", Ge(0)] = 0

    def __post_init__(self) -> None:
        if self.loss == "wasserstein" and not (self.penalty or self.spectral):
            raise UsageError("loss wasserstein: the critic needs a bound on its slope; set penalty 10 or spectral")

    @abstractmethod
    def generator(self, channels_in: int, channels_out: int, data: DataSpec) -> nn.Module:
        """Image to image, both in [-1, 1]."""

    @abstractmethod
    def discriminator(self, channels: int) -> nn.Module:
        """Image to logits."""

    @abstractmethod
    def margin(self, data: DataSpec) -> int | None:
        """As in ``Direction``: how far a generator looks."""

    def gradient_penalty(self, critic: nn.Module, real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
        """Without its weight. ``share``: (N,) in [0, 1], that of ``real`` where the gradient is taken."""
        return gradient_penalty(critic, real, fake, share, score=self.penalty_on)

    def networks(self, data: DataSpec) -> Networks:
        a, b = data.channels["a"], data.channels["b"]
        smallest = max(2 * self.multiple, smallest_side(self.patch_layers, self.scales))
        if data.size % self.multiple or data.size < smallest:
            raise UsageError(f"--size {data.size}: expected a multiple of {self.multiple}, {smallest} or more")
        if self.identity and a != b:
            raise UsageError(f"identity {self.identity}: the domains have {a} and {b} channels; set identity to 0")
        return {
            "g_ab": lambda: self.generator(a, b, data),
            "g_ba": lambda: self.generator(b, a, data),
            "d_a": lambda: self.discriminator(a),
            "d_b": lambda: self.discriminator(b),
            "pool_a": lambda: ImagePool(self.pool, a, data.size),
            "pool_b": lambda: ImagePool(self.pool, b, data.size),
        }

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        # All that is random is noise of the phase, so that processes and micro-batches draw the same.
        noise = {"draws_a": ImagePool.DRAWS, "draws_b": ImagePool.DRAWS}
        if self.penalty:
            noise["between"] = Noise((), "uniform")
        players = [
            Phase("generators", ("g_ab", "g_ba"), self.generator_loss),
            Phase("discriminators", ("d_a", "d_b"), self.discriminator_loss, noise=noise),
        ]
        if self.r1 or self.r2:
            players.append(Phase("penalty", ("d_a", "d_b"), self.slope_loss, every=EVERY))
        return players

    def generator_loss(self, nets: Nets, x: Batch) -> Terms:
        """Fool both discriminators, come back to the original (eq. 2), leave the target domain as it is (5.2)."""
        terms: dict[str, Tensor] = {}
        cycle_b = self.cycle if self.cycle_b is None else self.cycle_b
        if self.identity:
            # Two passes of a network in one: instance norm and dropout treat each image on its own.
            fake_b, same_b = _both(nets.g_ab, x.a, x.b)
            fake_a, same_a = _both(nets.g_ba, x.b, x.a)
            terms = {
                "identity_a": self.cycle * self.identity * l1_loss(same_a, x.a),
                "identity_b": cycle_b * self.identity * l1_loss(same_b, x.b),
            }
        else:
            fake_b, fake_a = nets.g_ab(x.a), nets.g_ba(x.b)
        x.keep(fake_a=fake_a, fake_b=fake_b)
        risen = ramped(x, self.ramp)
        return {
            "adv_a": risen * self._game.generator(nets.d_a(fake_a), lambda: nets.d_a(x.a)),
            "adv_b": risen * self._game.generator(nets.d_b(fake_b), lambda: nets.d_b(x.b)),
            "cycle_a": self.cycle * l1_loss(nets.g_ba(fake_b), x.a),
            "cycle_b": cycle_b * l1_loss(nets.g_ab(fake_a), x.b),
            **terms,
        }

    def discriminator_loss(self, nets: Nets, x: Batch) -> Terms:
        """Tell real images from past and present fakes; halved, so that they learn more slowly (appendix 7.1)."""
        return {
            **self._judge("a", nets.d_a, x, x.a, nets.pool_a(x.fake_a, x.draws_a)),
            **self._judge("b", nets.d_b, x, x.b, nets.pool_b(x.fake_b, x.draws_b)),
        }

    def slope_loss(self, nets: Nets, x: Batch) -> Terms:
        """The slope of both discriminators, at pictures of their domain and at the translations of this step."""
        domains = {"a": (nets.d_a, x.a, x.fake_a), "b": (nets.d_b, x.b, x.fake_b)}
        return {
            f"{name}_{domain}": term
            for domain, (critic, real, fake) in domains.items()
            for name, term in lazy_penalties(critic, real, fake, self.r1, self.r2).items()
        }

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        multiple, margin = self.multiple, self.margin(data)
        return [
            Direction("a2b", "a", "b", ("g_ab",), lambda nets, x: nets.g_ab(x.a), multiple=multiple, margin=margin),
            Direction("b2a", "b", "a", ("g_ba",), lambda nets, x: nets.g_ba(x.b), multiple=multiple, margin=margin),
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
        on_real, on_fake = _judged(critic, real, fake)
        x.scores(f"d_{domain}", real=score_of(on_real), fake=score_of(on_fake))
        terms = {f"d_{domain}": 0.5 * torch.stack([*self._game.discriminator(on_real, on_fake).values()]).sum()}
        if self.penalty:
            penalty = self.gradient_penalty(critic, real, fake, (x.between + 1) / 2)
            terms[f"penalty_{domain}"] = self.penalty * penalty
        return terms

    @property
    def _game(self) -> Game:
        return Game(self.loss)


@dataclass(frozen=True, kw_only=True)
class CycleGAN(Cycle):
    """Unpaired translation between two image domains (Zhu et al., 2017)."""

    api = 2
    recipe = Run(batch=1, size=256, epochs=200, ema=0.0)  # the paper publishes the weights of the last step
    bf16_proven = True  # bench/RESULTS.md
    multiple = 4

    blocks: Annotated[int | None, "residual blocks of a generator [9 from 256 pixels, else 6]", Ge(1)] = None
    width: Annotated[int, "channels of each network's first layer", Ge(1)] = 64
    upsample: Annotated[Upsample, "how generators upsample; resize and blur avoid checkerboards"] = "deconv"
    downsample: Annotated[Downsample, "how generators downsample; blur avoids aliasing"] = "stride"
    d_downsample: Annotated[Downsample, "how discriminators downsample; blur is CUT's"] = "stride"
    dropout: Annotated[float, "share of activations left out in residual blocks", Ge(0), Lt(1)] = 0.0

    def generator(self, channels_in: int, channels_out: int, data: DataSpec) -> nn.Module:
        return ResnetGenerator(
            channels_in,
            channels_out,
            self.width,
            self._blocks(data),
            dropout=self.dropout,
            upsample=self.upsample,
            downsample=self.downsample,
        )

    def discriminator(self, channels: int) -> nn.Module:
        return patch_discriminator(
            channels,
            self.width,
            self.patch_layers,
            self.scales,
            spectral=self.spectral,
            downsample=self.d_downsample,
        )

    def margin(self, data: DataSpec) -> int | None:
        return resnet_margin(self._blocks(data), self.upsample, self.downsample)

    def _blocks(self, data: DataSpec) -> int:
        return self.blocks if self.blocks is not None else 9 if data.size >= 256 else 6


def _judged(critic: nn.Module, real: Tensor, fake: Tensor) -> tuple[Logits, Logits]:
    """A discriminator's logits for both, run as one batch."""
    logits: Logits = critic(torch.cat([real, fake]))
    if isinstance(logits, Tensor):
        return logits[: len(real)], logits[len(real) :]
    return [scale[: len(real)] for scale in logits], [scale[len(real) :] for scale in logits]


def _both(network: nn.Module, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """A network's outputs on two batches of one shape, run as one."""
    outputs: Tensor = network(torch.cat([first, second]))
    return outputs[: len(first)], outputs[len(first) :]
