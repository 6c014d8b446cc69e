"""RealPLKSR: large kernels for photos as they are found (Lee et al., 2024), trained as Real-ESRGAN is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, cast

from annotated_types import Ge
from torch import Tensor
from torch.nn.functional import l1_loss
from translate import Batch, DataSpec, Direction, Nets, Networks, Phase, Run, TaskModel, Terms, UsageError
from translate.data.lowhigh import LowHigh
from translate.discriminators.realesrgan import UNetDiscriminator
from translate.losses.adversarial import adversarial

from gantk_realplksr.network import GROUPS, SHARE, RealPLKSRNet, margin

GAME = adversarial("vanilla")


@dataclass(frozen=True, kw_only=True)
class RealPLKSR(TaskModel):
    """Super-resolution by partial large kernels (Lee et al., 2024)."""

    api = 2
    source = LowHigh
    recipe = Run(steps=500_000, batch=16, size=128)
    averaged = ("g",)

    warmup: Annotated[int, "steps on the mean absolute error alone, before the game", Ge(0)] = 250_000
    adversarial: Annotated[float, "weight of the adversarial term, the error having 1", Ge(0)] = 0.1
    width: Annotated[int, "channels of the generator", Ge(4)] = 64
    blocks: Annotated[int, "blocks of the generator", Ge(1)] = 28
    kernel: Annotated[int, "side of the large kernels, odd", Ge(3)] = 17
    d_width: Annotated[int, "channels of the discriminator's first convolution", Ge(1)] = 64

    def __post_init__(self) -> None:
        if self.kernel % 2 == 0:
            raise UsageError(f"--kernel {self.kernel}: expected an odd number")
        if self.width % GROUPS or self.width % SHARE:
            raise UsageError(f"--width {self.width}: expected a multiple of {GROUPS}")

    def networks(self, data: DataSpec) -> Networks:
        if data.channels["high"] != 3:
            raise UsageError(f"--channels {data.channels['high']}: expected 3")
        if data.size % 8:
            raise UsageError(f"--size {data.size}: expected a multiple of 8")
        size = {"width": self.width, "blocks": self.blocks, "kernel": self.kernel}
        return {
            "g": partial(RealPLKSRNet, data.scale, **size),
            "d": partial(UNetDiscriminator, 3, width=self.d_width),
        }

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        return [
            Phase("pretrain", ("g",), self.pretrain, stop=self.warmup),
            Phase("generator", ("g",), self.play, start=self.warmup),
            Phase("discriminator", ("d",), self.judge, start=self.warmup),
        ]

    def pretrain(self, nets: Nets, x: Batch) -> Terms:
        """The mean absolute error."""
        return {"l1": l1_loss(nets.g(x.low), x.high)}

    def play(self, nets: Nets, x: Batch) -> Terms:
        """The same, and look real in every pixel."""
        high = nets.g(x.low)
        x.keep(fake=high)
        return {"l1": l1_loss(high, x.high), "adversarial": self.adversarial * GAME.generator(nets.d(high))}

    def judge(self, nets: Nets, x: Batch) -> Terms:
        """Tell pixels of photos from those of results."""
        real, fake = nets.d(x.high), nets.d(x.fake)
        x.scores("d", real=real, fake=fake)
        return {"real": GAME.real(real), "fake": GAME.fake(fake)}

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        reach = margin(self.blocks, self.kernel)
        return [Direction("upscale", "low", "high", ("g",), self.run, scale=data.scale, margin=reach)]

    def run(self, nets: Nets, x: Batch) -> Tensor:
        """The generator alone."""
        return cast(Tensor, nets.g(x.low))
