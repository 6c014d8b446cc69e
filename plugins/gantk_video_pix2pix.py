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
from translate.contract import Batch, DataSpec, Direction, Nets, Networks, Noise, Phase, Terms
from translate.data.frames import Frames
from translate.discriminators.patch import PatchDiscriminator
from translate.settings import Run


@dataclass(frozen=True, kw_only=True)
class VideoPix2Pix(Pix2Pix):
    """Pix2Pix on frames in order, each with the result before it as a second input."""

    api = 2
    source = Frames
    recipe = Run(batch=1, size=256, epochs=200)
    bf16_proven = False

    temporal: Annotated[float, "weight of the distance between the changes from frame to frame", Ge(0)] = 100.0

    def networks(self, data: DataSpec) -> Networks:
        a, b = data.channels["a"], data.channels["b"]
        self.check_size(data.size)

        def generator() -> nn.Module:
            net = self.translator(a + b, b, data.size)
            return with_image_statistics(net) if self.test_statistics == "batch" else net

        def discriminator() -> nn.Module:
            return PatchDiscriminator(a + 2 * b, self.width, self.patch_layers, self.norm, self.spectral)

        return {"g": generator, "d": discriminator}

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        generator, discriminator = super().phases(data)
        return [replace(generator, noise={"turn": Noise((1, 1, 1), "uniform")}), discriminator]

    def translate(self, nets: Nets, x: Batch) -> Terms:
        """Pix2Pix's loss for both frames, the mean of the two, and the loss of their change."""
        black = torch.zeros_like(x.b_before)
        first = nets.g(torch.cat([x.a_before, black], 1))
        before = torch.where(x.turn > 0, first, x.b_before)
        fake = nets.g(torch.cat([x.a, before], 1))
        x.keep(first=first, before=before, fake=fake)
        scores = nets.d(torch.cat([x.a_before, black, first], 1)), nets.d(torch.cat([x.a, before, fake], 1))
        return {
            "adv": torch.stack([self.game().generator(score) for score in scores]).mean(),
            "l1": self.l1 / 2 * (F.l1_loss(first, x.b_before) + F.l1_loss(fake, x.b)),
            "temporal": self.temporal * F.l1_loss(fake - before, x.b - x.b_before),
        }

    def discriminate(self, nets: Nets, x: Batch) -> Terms:
        """Tell targets from results, each beside its frame and the picture before; halved, as pix2pix is."""
        black = torch.zeros_like(x.b_before)
        fakes = nets.d(torch.cat([x.a_before, black, x.first], 1)), nets.d(torch.cat([x.a, x.before, x.fake], 1))
        reals = nets.d(torch.cat([x.a_before, black, x.b_before], 1)), nets.d(torch.cat([x.a, x.b_before, x.b], 1))
        x.scores("d", real=torch.stack(reals), fake=torch.stack(fakes))
        return {
            "fake": 0.5 * torch.stack([self.game().fake(each) for each in fakes]).mean(),
            "real": 0.5 * torch.stack([self.game().real(each) for each in reals]).mean(),
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
