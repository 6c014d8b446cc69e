"""R3GAN's discriminator: its generator turned round."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from translate.generators.stylegan import resolutions
from translate.layers.fir import down_by_two
from translate.layers.resnext import GroupedBlock, pointwise, scaled, widths


class GroupedDiscriminator(nn.Module):
    """(N, channels, size, size) -> (N, 1) (Huang et al., 2024, section 4). ``blocks``: residual blocks at each side."""

    def __init__(self, channels: int, size: int, *, width: int, blocks: int, expansion: int, group: int) -> None:
        super().__init__()
        sides = resolutions(size)[::-1]
        counts = widths(sides, width)
        self.from_image = pointwise(channels, counts[0])
        total = blocks * len(sides)
        self.stages = nn.ModuleList(
            nn.Sequential(*(GroupedBlock(count, blocks=total, expansion=expansion, group=group) for _ in range(blocks)))
            for count in counts
        )
        self.changes = nn.ModuleList(pointwise(a, b) if a != b else nn.Identity() for a, b in pairwise(counts))
        self.basis = scaled(nn.Conv2d(counts[-1], counts[-1], sides[-1], groups=counts[-1], bias=False))
        self.score = scaled(nn.Linear(counts[-1], 1, bias=False))

    def forward(self, images: Tensor) -> Tensor:
        x: Tensor = self.stages[0](self.from_image(images))
        for change, stage in zip(self.changes, self.stages[1:], strict=True):
            x = stage(change(down_by_two(x)))
        score: Tensor = self.score(self.basis(x).flatten(1))
        return score
