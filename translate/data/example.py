"""Made-up data, for checks of a task model without any files."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from translate.conditions import MOST_WORDS
from translate.contract import Dataset, DataSpec


class MadeUp(Dataset):
    """Noise as a source of such a ``spec`` would give it: what a ``Source.example`` returns.

    Pictures for each of ``spec.channels`` (one-hot planes where ``spec.indexed``; of ``spec.size``, and ``small`` ones
    ``spec.scale`` times smaller), and for each of ``spec.names`` an index: () int64, or (``MOST_WORDS``,) for ``text``.
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
                classes = torch.from_numpy(rng.integers(channels, size=(side, side)))
                tensors[name] = torch.nn.functional.one_hot(classes, channels).permute(2, 0, 1).float()
            else:
                tensors[name] = torch.from_numpy(rng.integers(256, size=(channels, side, side), dtype=np.uint8))
        for name, meanings in self.spec.names.items():
            shape = (MOST_WORDS,) if name == "text" else ()
            tensors[name] = torch.as_tensor(rng.integers(len(meanings), size=shape))
        return tensors
