"""R3GAN's generator: a learned basis, then residual blocks of grouped convolutions at doubling sides."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from translate.generators.stylegan import resolutions
from translate.layers.factors import Factors
from translate.layers.fir import up_by_two
from translate.layers.resnext import GroupedBlock, pointwise, scaled, widths


class GroupedGenerator(nn.Module):
    """(N, latent) -> (N, channels, size, size), not bounded (Huang et al., 2024, section 4).

    ``blocks``: residual blocks at each side. Sides begin at 4 to 7 pixels and double bilinearly. ``distances``: (N,
    directions), how far latents go in the directions that change pictures most; these are there once weights are
    loaded.
    """

    def __init__(
        self, channels: int, size: int, *, latent: int, width: int, blocks: int, expansion: int, group: int
    ) -> None:
        super().__init__()
        sides = resolutions(size)
        counts = widths(sides, width)
        self.basis = nn.Parameter(torch.randn(counts[0], sides[0], sides[0]))
        self.strengths = scaled(nn.Linear(latent, counts[0], bias=False))
        self.changes = nn.ModuleList(pointwise(a, b) if a != b else nn.Identity() for a, b in pairwise(counts))
        total = blocks * len(sides)
        self.stages = nn.ModuleList(
            nn.Sequential(*(GroupedBlock(count, blocks=total, expansion=expansion, group=group) for _ in range(blocks)))
            for count in counts
        )
        self.to_image = pointwise(counts[-1], channels)
        self.factors = Factors(latent)
        self.register_load_state_dict_post_hook(_factorise)  # type: ignore[no-untyped-call]

    def forward(self, z: Tensor, distances: Tensor | None = None) -> Tensor:
        if distances is not None:
            z = z + self.factors(distances)
        x: Tensor = self.stages[0](self.basis * self.strengths(z)[:, :, None, None])
        for change, stage in zip(self.changes, self.stages[1:], strict=True):
            x = stage(up_by_two(change(x)))
        image: Tensor = self.to_image(x)
        return image


def _factorise(generator: nn.Module, keys: object) -> None:
    """Called by torch after it has loaded the weights."""
    assert isinstance(generator, GroupedGenerator)
    generator.factors.renew([generator.strengths.weight])
