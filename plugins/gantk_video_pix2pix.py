"""Video-Pix2Pix: pix2pix on the frames of clips, each of which is given the result before it. Of no paper.

The generator is given a frame and its own result for the frame before, black (0) at a clip's first. In training a step
draws two frames that follow each other; for half of the samples the first result goes in, gradients and all, for the
others the true frame before, as a longer clip would have it. The discriminator judges a result beside its frame and
what came before. What holds results together is a loss without optical flow: their change from frame to frame should
be that of the targets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional as F

from gantk_pix2pix import Pix2Pix, with_image_statistics
from translate.contract import Batch, DataSpec, Direction, Nets, Networks, Noise, Phase, Terms, ramped
from translate.data.frames import Frames
from translate.losses.adversarial import score_of
from translate.losses.penalties import Critic, lazy_penalties
from translate.settings import Run


@dataclass(frozen=True, kw_only=True)
class VideoPix2Pix(Pix2Pix):
    """Pix2Pix on frames in order, each with the result before it as a second input."""

    api = 2
    source = Frames
    recipe = Run(batch=1, size=256, epochs=200, ema=0.0)
    bf16_proven = False

    temporal: Annotated[float, "weight of the distance between the changes from frame to frame", Ge(0)] = 100.0

    def networks(self, data: DataSpec) -> Networks:
        a, b = data.channels["a"], data.channels["b"]
        self.check_size(data.size)

        def generator() -> nn.Module:
            net = self.translator(a + b, b, data.size)
            return with_image_statistics(net) if self.test_statistics == "batch" else net

        def discriminator() -> nn.Module:
            return self.judge(a + 2 * b)

        return {"g": generator, "d": discriminator}

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        first, *others = super().phases(data)
        return [replace(first, noise={"turn": Noise((1, 1, 1), "uniform")}), *others]

    def results(self, nets: Nets, x: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """That of the first frame, what the second one is given as such, and its result; the batch keeps them."""
        first = nets.g(torch.cat([x.a_before, torch.zeros_like(x.b_before)], 1))
        before = torch.where(x.turn > 0, first, x.b_before)
        fake: Tensor = nets.g(torch.cat([x.a, before], 1))
        x.keep(first=first, before=before, fake=fake)
        return first, before, fake

    def draw(self, nets: Nets, x: Batch) -> Tensor:
        return self.results(nets, x)[2]

    def translate(self, nets: Nets, x: Batch) -> Terms:
        """Pix2Pix's loss for both frames, the mean of the two, and the loss of their change."""
        black = torch.zeros_like(x.b_before)
        first, before, fake = self.results(nets, x)
        judged = nets.d(torch.cat([x.a_before, black, first], 1)), nets.d(torch.cat([x.a, before, fake], 1))
        real = (
            lambda: nets.d(torch.cat([x.a_before, black, x.b_before], 1)),
            lambda: nets.d(torch.cat([x.a, x.b_before, x.b], 1)),
        )
        games = [self.game.generator(mine, theirs) for mine, theirs in zip(judged, real, strict=True)]
        return {
            "adv": ramped(x, self.ramp) * torch.stack(games).mean(),
            "l1": self.l1 / 2 * (F.l1_loss(first, x.b_before) + F.l1_loss(fake, x.b)),
            "temporal": self.temporal * F.l1_loss(fake - before, x.b - x.b_before),
        }

    def discriminate(self, nets: Nets, x: Batch) -> Terms:
        """Tell targets from results, each beside its frame and the picture before; halved, as pix2pix is."""
        black = torch.zeros_like(x.b_before)
        fakes = nets.d(torch.cat([x.a_before, black, x.first], 1)), nets.d(torch.cat([x.a, x.before, x.fake], 1))
        reals = nets.d(torch.cat([x.a_before, black, x.b_before], 1)), nets.d(torch.cat([x.a, x.b_before, x.b], 1))
        x.scores("d", real=torch.stack([*map(score_of, reals)]), fake=torch.stack([*map(score_of, fakes)]))
        first, second = (self.game.discriminator(real, fake) for real, fake in zip(reals, fakes, strict=True))
        return {name: 0.5 * torch.stack([first[name], second[name]]).mean() for name in first}

    def penalise(self, nets: Nets, x: Batch) -> Terms:
        """The slope of the discriminator at second frames, each beside what it is judged with."""

        def beside(before: Tensor) -> Critic:
            return lambda image: nets.d(torch.cat([x.a, before, image], 1))

        return {
            **lazy_penalties(beside(x.b_before), x.b, x.fake, self.r1, 0.0),
            **lazy_penalties(beside(x.before), x.b, x.fake, 0.0, self.r2),
        }

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        (plain,) = super().directions(data)
        return [replace(plain, run=partial(self.follow, data.channels["b"]), sequence=True)]

    @staticmethod
    def follow(channels: int, nets: Nets, x: Batch) -> Tensor:
        """The result for a frame, after ``x.previous`` where there was one."""
        count, _, height, width = x.a.shape
        previous = x["previous"] if "previous" in x else x.a.new_zeros(count, channels, height, width)
        result: Tensor = nets.g(torch.cat([x.a, previous], 1))
        x.keep(previous=result)
        return result

    def preview(self, nets: Nets, x: Batch, data: DataSpec) -> Mapping[str, Tensor]:
        """Two frames that follow each other, each as input, result and target."""
        first = self.follow(data.channels["b"], nets, Batch({"a": x.a_before}))
        second = self.follow(data.channels["b"], nets, Batch({"a": x.a, "previous": first}))
        return {"a before": x.a_before, "before": first, "b before": x.b_before, "a": x.a, "a2b": second, "b": x.b}
