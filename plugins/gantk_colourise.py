"""Colours for grey photos: pix2pix (Isola et al., 2017, section 4) on pictures whose colour was taken away.

What is done otherwise than in the paper, which predicts a and b of the Lab space:

- The generator predicts the two chroma planes of JPEG's YCbCr, as its Y is what a grey file holds. The result has the
  luma of the input to the rounding of its bits: where a colour does not exist at that luma it becomes paler.
- Pix2Pix's game goes on beneath: a U-Net, the distance to the target, and a discriminator of patches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn

from gantk_pix2pix import Pix2Pix
from translate.contract import Batch, DataSpec, Direction, Nets
from translate.data.derived import Derived
from translate.reading import LUMA_WEIGHTS
from translate.settings import Run


@dataclass(frozen=True, kw_only=True)
class Greyed(Derived):
    """Colour pictures, ``x.b``, and ``x.a``, their luma."""

    target: ClassVar[str] = "b"

    @classmethod
    def channels_by_name(cls) -> Mapping[str, int]:
        return {"a": 1, "b": 3}

    def derive(self, pictures: Tensor, generator: Generator) -> Mapping[str, Tensor]:
        weights = torch.tensor(LUMA_WEIGHTS, dtype=pictures.dtype, device=pictures.device).view(1, -1, 1, 1)
        return {"a": (pictures * weights).sum(1, keepdim=True)}


class Tinted(nn.Module):
    """A network of two output planes in [-1, 1], taken for the chroma of its input.

    (N, 1, H, W) in [-1, 1] -> (N, 3, H, W) in [-1, 1], whose luma is the input.
    """

    def __init__(self, chroma: nn.Module) -> None:
        super().__init__()
        self.chroma = chroma

    def forward(self, grey: Tensor) -> Tensor:
        red, _, blue = LUMA_WEIGHTS
        cb, cr = self.chroma(grey).to(grey.dtype).chunk(2, 1)
        # Blue and red differ from the luma by so much; green takes what keeps the weighted sum 0.
        of_blue, of_red = 2 * (1 - blue) * cb, 2 * (1 - red) * cr
        of_green = -(red * of_red + blue * of_blue) / LUMA_WEIGHTS[1]
        tint = torch.cat([of_red, of_green, of_blue], 1)
        # How far each channel may move before it leaves [-1, 1].
        room = torch.where(tint > 0, 1 - grey, 1 + grey).clamp(min=0)
        share = (room / tint.abs().clamp(min=1e-6)).amin(1, keepdim=True).clamp(max=1)
        return grey + share * tint


@dataclass(frozen=True, kw_only=True)
class Colourise(Pix2Pix):
    """Colours for grey photos, whose brightness stays (Isola et al., 2017)."""

    source = Greyed
    recipe = Run(batch=4, size=256, epochs=200, ema=0.0)
    bf16_proven = False

    def translator(self, a: int, b: int, size: int) -> nn.Module:
        """Pix2Pix's generator, of the two chroma planes."""
        return Tinted(super().translator(a, b - 1, size))

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        return [replace(direction, name="colourise") for direction in super().directions(data)]

    def preview(self, nets: Nets, x: Batch, data: DataSpec) -> Mapping[str, Tensor]:
        """Input, result and target."""
        return {"grey": x.a, "colourise": nets.g(x.a), "colour": x.b}
