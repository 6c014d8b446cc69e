"""Restoration: pictures of the same size, without noise, blur and traces of JPEG, learnt from one folder of sharp ones.

Real-ESRGAN at scale 1 (Wang et al., 2021), with its authors' small generator and pictures as they are for targets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge
from torch import Generator, Tensor

from gantk_realesrgan import Generator as Network
from gantk_realesrgan import RealESRGAN
from translate.data.degrade import Degradation, degrade
from translate.data.derived import Derived
from translate.data.transforms import Resize
from translate.settings import Run


@dataclass(frozen=True, kw_only=True)
class Impaired(Degradation, Derived):
    """Sharp pictures, ``x.high``, and ``x.low``, the same blurred, resized and back, noisy and compressed."""

    target: ClassVar[str] = "high"
    degrade_sharpen: Annotated[bool, "degrade the sharpened picture, not the picture itself"] = False
    resize: Annotated[
        Resize, "none: crop pictures as they are; resize: squash to a square first; scale: the shorter side"
    ] = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_ranges()

    @classmethod
    def channels_by_name(cls) -> Mapping[str, int]:
        return {"low": 3, "high": 3}

    def derive(self, pictures: Tensor, generator: Generator) -> Mapping[str, Tensor]:
        return {"low": degrade(pictures, 1, generator, self)}


@dataclass(frozen=True, kw_only=True)
class Restore(RealESRGAN):
    """Restoration of pictures at their own size: Real-ESRGAN at scale 1 (Wang et al., 2021).

    First the generator alone learns the mean absolute error, then the game begins; with ``warmup`` not less than the
    run's steps it never does.
    """

    source = Impaired
    recipe = Run(steps=200_000, batch=16, size=128, ema=0.999)

    generator: Annotated[Network, "network that restores: RRDB, the compact one, or SPAN"] = "compact"
    warmup: Annotated[int, "steps of pre-training on the mean absolute error, before the game", Ge(0)] = 100_000
