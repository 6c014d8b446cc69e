"""GcGAN: translation in one direction that keeps the geometry (Fu et al., 2019, arXiv 1809.05852).

To turn a picture and translate it should give what translating and turning gives. Without the paper's identity term.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor
from torch.nn.functional import l1_loss
from translate import Batch, DataSpec, Direction, Nets, Networks, Phase, Run, TaskModel, Terms, UsageError, linear_decay
from translate.data.unpaired import Unpaired
from translate.discriminators.patch import PatchDiscriminator, smallest_input
from translate.generators.resnet import ResnetGenerator, resnet_margin
from translate.losses.adversarial import adversarial

GAME = adversarial("lsgan")


@dataclass(frozen=True, kw_only=True)
class GcGAN(TaskModel):
    """Unpaired translation that commutes with a quarter turn (Fu et al., 2019)."""

    api = 2
    source = Unpaired
    recipe = Run(batch=1, size=256, epochs=200)
    discriminators = ("d", "d_turned")

    geometry: Annotated[float, "weight of the geometry-consistency term", Ge(0)] = 20.0
    width: Annotated[int, "channels of each network's first layer", Ge(1)] = 64
    blocks: Annotated[int, "residual blocks of the generator", Ge(1)] = 9
    patch_layers: Annotated[int, "stride-2 layers of the discriminators", Ge(0)] = 3

    def networks(self, data: DataSpec) -> Networks:
        smallest = max(8, smallest_input(self.patch_layers))
        if data.size % 4 or data.size < smallest:
            raise UsageError(f"--size {data.size}: expected a multiple of 4, {smallest} or more")
        a, b = data.channels["a"], data.channels["b"]
        return {
            "g": lambda: ResnetGenerator(a, b, self.width, self.blocks),
            "d": lambda: PatchDiscriminator(b, self.width, self.patch_layers),
            "d_turned": lambda: PatchDiscriminator(b, self.width, self.patch_layers),
        }

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        return [Phase("translate", ("g",), self.translate), Phase("judge", ("d", "d_turned"), self.judge)]

    def translate(self, nets: Nets, x: Batch) -> Terms:
        """Look real upright and turned, and agree (eq. 3 and 4)."""
        fake, fake_turned = nets.g(x.a), nets.g(turned(x.a))
        x.keep(fake=fake, fake_turned=fake_turned)
        # A quarter turn moves pixels only: both of the paper's distances are this one.
        return {
            "adv": GAME.generator(nets.d(fake)) + GAME.generator(nets.d_turned(fake_turned)),
            "geometry": 2 * self.geometry * l1_loss(fake_turned, turned(fake)),
        }

    def judge(self, nets: Nets, x: Batch) -> Terms:
        """Tell pictures of b from translations, upright and turned."""
        real, fake = nets.d(x.b), nets.d(x.fake)
        x.scores("d", real=real, fake=fake)
        real_turned, fake_turned = nets.d_turned(turned(x.b)), nets.d_turned(x.fake_turned)
        return {
            "adv": 0.5 * GAME.discriminator(real, fake),
            "adv_turned": 0.5 * GAME.discriminator(real_turned, fake_turned),
        }

    def lr_at(self, progress: float) -> float:
        return linear_decay(progress, 0.5)

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        margin = resnet_margin(self.blocks)
        return [Direction("a2b", "a", "b", ("g",), lambda nets, x: nets.g(x.a), multiple=4, margin=margin)]


def turned(images: Tensor) -> Tensor:
    """A quarter turn clockwise of square pictures, (N, C, S, S)."""
    return images.rot90(-1, (2, 3))
