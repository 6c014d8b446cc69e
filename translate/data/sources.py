"""What folders mean: a `Source` holds the flags that name the data, and opens it as a `Dataset`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from translate.data.images import Pixels
from translate.data.transforms import to_tensor
from translate.task import DataSpec

Pack: TypeAlias = NDArray[np.uint8]
"""Many pictures in one array of one dimension, each with its planes one after the other."""


@dataclass(frozen=True)
class Loading:
    """How to open a source: the run's settings that concern data."""

    size: int
    strict: bool = False
    workers: int = 0
    cache: Literal["memory", "disk", "device", "off"] = "memory"
    """``device``: the dataset to be returned is a ``CutDataset`` with ``packs``; what cannot be is a ``UsageError``."""
    cache_budget: int = 2 << 30
    """Bytes of decoded images kept in memory, and with ``cache="device"`` on the device."""
    cache_dir: Path | None = None
    """Where ``cache="disk"`` writes; None: a folder of the system's temporary directory."""
    expect: Callable[[DataSpec], object] = lambda spec: None
    """Called by ``open`` once it knows the spec, before pictures are read: here a model refuses what it cannot take."""
    tell: Callable[[str], None] = lambda line: None
    """Receives lines for the user: unreadable files, pictures without a partner."""


class Dataset(ABC):
    """An opened source: scanned, counted, ready to be sampled from any thread."""

    spec: DataSpec

    @abstractmethod
    def __len__(self) -> int:
        """Samples per epoch."""

    @abstractmethod
    def sample(self, index: int, rng: np.random.Generator) -> Mapping[str, Tensor]:
        """One sample by batch name, without the batch dimension.

        uint8 tensors (C, H, W) are images, which the loader turns into float in [-1, 1] after the transfer; all others
        pass as they are. Everything random comes from ``rng``, which depends on (seed, epoch, index) alone.
        """

    def on_device(self, batch: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
        """A last step on a whole training batch, already on its device as floats: what is cheaper there.

        Everything random comes from ``seed``, another one for each batch.
        """
        return batch

    def for_preview(self, batch: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
        """The same for a preview's batch, of floats on the CPU: what makes the model's input, but no augmentation."""
        return batch


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


@dataclass(frozen=True, kw_only=True)
class Source(ABC):
    """Flags that name the data. Its fields are command-line flags and config keys, as a task model's are."""

    @abstractmethod
    def open(self, loading: Loading) -> Dataset:
        """Find and check the files, before the first step. Raises ``UsageError`` naming the folder or file at fault."""
