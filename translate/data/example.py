"""Made-up data, for checks of a task model without any files."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from translate.conditions import MOST_WORDS
from translate.contract import Dataset, DataSpec
from translate.data.index_maps import to_planes

_THINGS = 8
"""Identities in a map of them."""


class MadeUp(Dataset):
    """Noise as a source of such a ``spec`` would give it: what a ``Source.example`` returns.

    Pictures for each of ``spec.channels`` (planes of indices where ``spec.indexed``; of ``spec.size``, and ``small``
    ones ``spec.scale`` times smaller), and for each of ``spec.names`` that is no picture an index: () int64, or
    (``MOST_WORDS``,) for ``text``.
    """

    def __init__(self, spec: DataSpec, *, small: tuple[str, ...] = ()) -> None:
        self.spec, self._small = spec, small

    def __len__(self) -> int:
        return 64

    def sample(self, index: int, rng: np.random.Generator) -> Mapping[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        for name, channels in self.spec.channels.items():
            side = self.spec.size // self.spec.scale if name in self._small else self.spec.size
            if name in self.spec.indexed:
                most = channels if channels > 1 else _THINGS
                tensors[name] = to_planes(rng.integers(most, size=(side, side, 1), dtype=np.uint8), channels)
            else:
                tensors[name] = torch.from_numpy(rng.integers(256, size=(channels, side, side), dtype=np.uint8))
        for name, meanings in self.spec.names.items():
            if name in self.spec.channels:
                continue
            shape = (MOST_WORDS,) if name == "text" else ()
            tensors[name] = torch.as_tensor(rng.integers(len(meanings), size=shape))
        return tensors


def noise_pictures(
    data: DataSpec, name: str, count: int, height: int, width: int, generator: torch.Generator
) -> Tensor:
    """Noise as a domain's images, (count, C, height, width): in [-1, 1], or where it is indexed one-hot planes or
    identities."""
    channels = data.channels[name]
    if name in data.indexed and channels == 1:
        return torch.randint(_THINGS, (count, 1, height, width), generator=generator).float()
    if name in data.indexed:
        classes = torch.randint(channels, (count, height, width), generator=generator)
        return torch.nn.functional.one_hot(classes, channels).permute(0, 3, 1, 2).float()
    return torch.rand(count, channels, height, width, generator=generator) * 2 - 1
