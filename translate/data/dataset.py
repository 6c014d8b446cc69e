"""Data sets whose samples are pieces of their pictures, which a device can hold and cut by itself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from translate.contract import Dataset
from translate.data.decode import Pixels
from translate.data.transforms import to_tensor

Pack: TypeAlias = NDArray[np.uint8]
"""Many pictures in one array of one dimension, each with its planes one after the other."""


class CutDataset(Dataset):
    """A data set whose samples are cut from its pictures without a change of any pixel.

    Opened with ``cache="device"``, it has all its pictures in ``packs``. The loader then copies these to the device
    and takes the pixels of each batch from there.
    """

    packs: Sequence[Pack] = ()

    @abstractmethod
    def cuts(self, index: int, rng: np.random.Generator) -> Mapping[str, Pixels]:
        """The sample as views of the pictures, uint8 (H, W, C), drawn from ``rng`` just as by ``sample``.

        Every sample has the same names, and the same shape for each.
        """

    def sample(self, index: int, rng: np.random.Generator) -> Mapping[str, Tensor]:
        """The cuts as tensors (C, H, W)."""
        return {name: to_tensor(cut) for name, cut in self.cuts(index, rng).items()}
