"""Pix2Pix (Isola et al., 2017) on slices of volumes: gantk's own model with another source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from gantk_pix2pix import Pix2Pix
from torch import Tensor
from translate import Batch, DataSpec, Nets, Run
from translate.layers.norms import Norm

from gantk_medical.source import Volumes


@dataclass(frozen=True, kw_only=True)
class SlicePix2Pix(Pix2Pix):
    """Slices of volumes from slices of others, with their neighbours (pix2pix; Isola et al., 2017)."""

    api = 2
    source = Volumes
    recipe = Run(batch=4, size=256, epochs=100, ema=0.0)
    bf16_proven = False

    norm: Annotated[Norm, "normalisation in both networks"] = "instance"

    def preview(self, nets: Nets, x: Batch, data: DataSpec) -> Mapping[str, Tensor]:
        """The slice in the middle of the input, its translation and its target."""
        middle = data.channels["a"] // 2
        return {"a": x.a[:, middle : middle + 1], "a2b": nets.g(x.a), "b": x.b}
