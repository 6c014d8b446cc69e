"""Pix2Pix: translation learnt from pairs of pictures (Isola et al., 2017, arXiv 1611.07004).

Where the paper and the authors' two codes (Torch and PyTorch) differ, and what is done here:

- *Order of the players.* A step moves the generator and then the discriminator, on one and the same fake: both answer
  the other's last state, and the generator runs once. Both codes move the discriminator first. In Torch's the
  generator's loss still comes from the logits before that move; in PyTorch's from those after it, so that its
  generator meets a discriminator one step younger than here. ``--first discriminator`` is PyTorch's order; the
  generator then runs twice in a step, each time with dropout of its own.
- *Learning rate.* Constant in the paper and in Torch's code; in PyTorch's it falls to 0 over the second half of the
  200 epochs. That is the default, as most known results come from it; ``--decay-from 1`` keeps it constant.
- *Dropout* follows the first three decoder blocks, as in Torch's code. PyTorch's has it in all blocks of the greatest
  width but the innermost, three at 256 pixels and one at 64: ``--dropout-at pytorch``.
- *Norm at inference.* The paper (section 3.3) runs the generator on a test image exactly as in training: with the
  statistics of the test batch, which is that image. So does PyTorch's code unless given ``--eval``. Here
  ``test_statistics="batch"`` takes each image's own statistics, however many go through together; ``"running"``
  takes those gathered in training, the better choice where it had batches well above 1.
- *Noise at inference.* The paper leaves dropout on. Here the direction ``a2b`` has it off, so that one input has one
  output; ``a2b-sample`` has it on, drawn from torch's default generator, so that seeding it repeats a sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor, nn
from torch.nn import functional as F

from translate.contract import (
    Batch,
    DataSpec,
    Direction,
    Nets,
    Networks,
    Phase,
    Source,
    TaskModel,
    Terms,
    linear_decay,
    ramped,
)
from translate.data.paired import Paired
from translate.discriminators.multiscale import patch_discriminator, smallest_side
from translate.errors import UsageError
from translate.generators.resnet import HALVINGS, ResnetGenerator, resnet_margin
from translate.generators.unet import DropoutAt, UnetGenerator, unet_depth, unet_margin
from translate.layers.norms import InstanceNorm, Norm
from translate.losses.adversarial import Game, GameLoss, score_of
from translate.losses.penalties import EVERY, R1, R2, lazy_penalties
from translate.settings import Run

SHALLOWEST = 3
"""Least depth of a U-Net that is still one: three halvings."""


class ImageStatistics(nn.BatchNorm2d):
    """Batch norm that takes each image's own statistics in eval mode: what a batch of one would give."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.each = InstanceNorm(self.eps)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> same shape."""
        if self.training:
            return super().forward(x)
        normalised: Tensor = self.each(x)
        return torch.addcmul(self.bias[:, None, None], normalised, self.weight[:, None, None])


def with_image_statistics(net: nn.Module) -> nn.Module:
    """Put ``ImageStatistics`` where ``net`` has batch norm, with the same weights; returns ``net``."""
    for module in net.modules():
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                norm = ImageStatistics(child.num_features)
                norm.load_state_dict(child.state_dict())
                setattr(module, name, norm)
    return net


@dataclass(frozen=True, kw_only=True)
class Pix2Pix(TaskModel):
    """Translation learnt from pairs of pictures (Isola et al., 2017)."""

    api = 2
    source: ClassVar[type[Source]] = Paired
    recipe = Run(batch=1, size=256, epochs=200, ema=0.0)  # the paper publishes the weights of the last step
    averaged = ("g",)
    bf16_proven = True  # bench/RESULTS.md

    generator: Annotated[Literal["unet", "resnet"], "network that translates"] = "unet"
    width: Annotated[int, "channels of each network's first layer", Ge(1)] = 64
    blocks: Annotated[int | None, "residual blocks of a resnet [9 from 256 pixels, else 6]", Ge(1)] = None
    norm: Annotated[Norm, "normalisation in both networks"] = "batch"
    test_statistics: Annotated[
        Literal["batch", "running"], "batch norm at inference: each image's own statistics (the paper), or training's"
    ] = "batch"
    dropout: Annotated[float, "share of the generator's activations left out, the paper's noise", Ge(0), Lt(1)] = 0.5
    dropout_at: Annotated[DropoutAt, "blocks of a unet with dropout: as in the authors' Torch or PyTorch code"] = (
        "torch"
    )
    patch_layers: Annotated[int, "stride-2 layers of the discriminator; 3 sees 70x70 pixels", Ge(0), Le(6)] = 3
    scales: Annotated[int, "discriminators, each at half the side of the one before", Ge(1), Le(5)] = 1
    loss: Annotated[GameLoss, "adversarial loss"] = "vanilla"
    spectral: Annotated[bool, "spectral normalisation in the discriminator"] = False
    r1: R1 = 0.0
    r2: R2 = 0.0
    ramp: Annotated[int, "steps at the start in which the weight of the adversarial term rises from 0", Ge(0)] = 0
    first: Annotated[Literal["generator", "discriminator"], "which moves first in a step"] = "generator"
    l1: Annotated[float, "weight of the distance to the target", Ge(0)] = 100.0
    decay_from: Annotated[float, "share of the run after which the learning rate falls to 0", Gt(0), Le(1)] = 0.5

    def __post_init__(self) -> None:
        if self.loss == "wasserstein" and not self.spectral:
            raise UsageError("loss wasserstein: the critic needs a bound on its slope; set spectral")
        if (self.r1 or self.r2) and self.norm == "batch":
            raise UsageError("r1 and r2 need a discriminator without batch norm; set norm instance or none")

    def networks(self, data: DataSpec) -> Networks:
        a, b = data.channels["a"], data.channels["b"]
        self.check_size(data.size)

        def generator() -> nn.Module:
            net = self.translator(a, b, data.size)
            return with_image_statistics(net) if self.test_statistics == "batch" else net

        def discriminator() -> nn.Module:
            return self.judge(a + b)

        return {"g": generator, "d": discriminator}

    def judge(self, channels: int) -> nn.Module:
        """The discriminator of so many channels."""
        return patch_discriminator(channels, self.width, self.patch_layers, self.scales, self.norm, self.spectral)

    def check_size(self, size: int) -> None:
        """Raise ``UsageError`` for an image side that the networks cannot take."""
        step = 2**SHALLOWEST if self.generator == "unet" else 2**HALVINGS
        if size % step:
            below = size // step * step
            near = f"{below} or {below + step}" if below else str(step)
            raise UsageError(f"--size {size}: expected a multiple of {step} for the {self.generator} generator: {near}")
        least = max(smallest_side(self.patch_layers, self.scales), 2 * step)
        if size < least:
            scales = f" on {self.scales} scales" if self.scales > 1 else ""
            raise UsageError(
                f"--size {size}: expected {least} or more with a discriminator of {self.patch_layers} layers{scales}"
            )

    def translator(self, a: int, b: int, size: int) -> nn.Module:
        """The generator, from ``a`` to ``b`` channels, for images of ``size`` pixels a side."""
        if self.generator == "resnet":
            return ResnetGenerator(a, b, self.width, self._blocks(size), self.norm, self.dropout)
        return UnetGenerator(
            a,
            b,
            depth=unet_depth(size),
            width=self.width,
            norm=self.norm,
            dropout=self.dropout,
            dropout_at=self.dropout_at,
        )

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        players = [Phase("generator", ("g",), self.translate), Phase("discriminator", ("d",), self.discriminate)]
        if self.first == "discriminator":
            generator, discriminator = players
            players = [replace(discriminator, loss=self.discriminate_first), generator]
        if self.r1 or self.r2:
            players.append(Phase("penalty", ("d",), self.penalise, every=EVERY))
        return players

    def draw(self, nets: Nets, x: Batch) -> Tensor:
        """The translation, which the batch keeps as ``fake``."""
        fake: Tensor = nets.g(x.a)
        x.keep(fake=fake)
        return fake

    def translate(self, nets: Nets, x: Batch) -> Terms:
        """Look real to the discriminator, given the input, and be near the target (eq. 4)."""
        fake = self.draw(nets, x)
        judged = nets.d(torch.cat([x.a, fake], 1))
        return {
            "adv": ramped(x, self.ramp) * self.game.generator(judged, lambda: nets.d(torch.cat([x.a, x.b], 1))),
            "l1": self.l1 * F.l1_loss(fake, x.b),
        }

    def discriminate(self, nets: Nets, x: Batch) -> Terms:
        """Tell targets from fakes, each beside its input; halved, to learn more slowly (section 3.3).

        Real and fake go through separately: batch norm must not see them mixed.
        """
        fake, real = nets.d(torch.cat([x.a, x.fake], 1)), nets.d(torch.cat([x.a, x.b], 1))
        x.scores("d", real=score_of(real), fake=score_of(fake))
        return {name: 0.5 * term for name, term in self.game.discriminator(real, fake).items()}

    def discriminate_first(self, nets: Nets, x: Batch) -> Terms:
        """The same before the generator moves, whose translation is not there yet."""
        self.draw(nets, x)
        return self.discriminate(nets, x)

    def penalise(self, nets: Nets, x: Batch) -> Terms:
        """The slope of the discriminator, in what it judges and not in the input beside it."""
        return lazy_penalties(lambda image: nets.d(torch.cat([x.a, image], 1)), x.b, x.fake, self.r1, self.r2)

    @property
    def game(self) -> Game:
        """The loss that both players share."""
        return Game(self.loss)

    def lr_at(self, progress: float) -> float:
        return linear_decay(progress, self.decay_from)

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        if self.generator == "resnet":
            multiple, margin = 2**HALVINGS, resnet_margin(self._blocks(data.size))
        else:
            depth = unet_depth(data.size)
            multiple, margin = 2**depth, unet_margin(depth)
        return [
            Direction(
                *("a2b", "a", "b", ("g",), lambda nets, x: nets.g(x.a)),
                multiple=multiple,
                margin=margin,
                noise=self.dropout > 0,
            )
        ]

    def _blocks(self, size: int) -> int:
        return self.blocks or (9 if size >= 256 else 6)

    def preview(self, nets: Nets, x: Batch, data: DataSpec) -> Mapping[str, Tensor]:
        """Input, translation and target."""
        return {"a": x.a, "a2b": nets.g(x.a), "b": x.b}
