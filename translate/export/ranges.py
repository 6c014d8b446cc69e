"""The numbers of black and white in the pictures that an exported file takes and gives."""

from __future__ import annotations

from torch import Tensor, nn

from translate.contract import DataSpec
from translate.export.options import Range
from translate.modelfile.model import DirectionModule


class InRange(nn.Module):
    """A direction whose pictures are in [0, 1], or as they are in [-1, 1]; planes of indices stay what they are."""

    def __init__(self, module: DirectionModule, data: DataSpec, range_: Range) -> None:
        super().__init__()
        self.module = module
        direction, shades = module.direction, data.channels.keys() - set(data.indexed)
        self.pictures = [name in shades and direction.latent is None for name in direction.input_names]
        self.unit = range_ == "0..1"
        self.unit_out = self.unit and direction.outputs in shades

    def forward(self, *tensors: Tensor) -> Tensor:
        """As the direction, with pictures in the range."""
        if not self.unit:
            output: Tensor = self.module(*tensors)
            return output
        pictures = [*self.pictures, *[False] * (len(tensors) - len(self.pictures))]
        given = [x * 2 - 1 if picture else x for picture, x in zip(pictures, tensors, strict=True)]
        inside: Tensor = self.module(*given)
        return (inside + 1) / 2 if self.unit_out else inside
