"""One set of pictures, of which the model's inputs are made: what it learns to undo."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Generator, Tensor

from translate.contract import Dataset, DataSpec, Loading
from translate.data.augment import Augmented
from translate.data.dataset import Cut, CutDataset
from translate.data.example import MadeUp
from translate.data.layouts import one_domain, refuse_results
from translate.data.listing import list_folders
from translate.data.pictures import Pictures, read_pictures
from translate.data.ranges import described, reading_of
from translate.data.transforms import BeforeCrop, EnlargedSide, Geometry, side_before_crop


@dataclass(frozen=True, kw_only=True)
class Derived(Augmented):
    """Pictures from one folder, and inputs that are computed from them: by noise, without colour, with holes.

    The batch has the pictures under the name ``target``, and what ``derive`` makes of them. A subclass says these, and
    how many channels each name has.
    """

    pairs: ClassVar[bool] = True
    target: ClassVar[str]

    images: Annotated[tuple[Path, ...], "folder of pictures, with its sub-folders"]
    resize: BeforeCrop = "scale"
    load_size: EnlargedSide = None
    flip: Annotated[bool, "mirror half of the pictures"] = True

    @classmethod
    @abstractmethod
    def channels_by_name(cls) -> Mapping[str, int]:
        """The channels of the pictures and of each input, by batch name."""

    @abstractmethod
    def derive(self, pictures: Tensor, generator: Generator) -> Mapping[str, Tensor]:
        """The inputs by name, from pictures (N, C, H, W) in [-1, 1] on their device.

        Everything random comes from ``generator``, which is the CPU's.
        """

    def open(self, loading: Loading) -> Dataset:
        """The pictures, scanned. Raises ``UsageError`` where none can be read."""
        self.check_augment(loading)
        side = side_before_crop(loading.size, self.load_size)
        folders = list_folders("--images", one_domain("--images", self.images, loading))
        refuse_results(folders)
        channels = self.channels_by_name()
        spec = DataSpec(loading.size, channels)
        loading.expect(spec)
        reading = reading_of(self.target, folders, loading)
        pictures = read_pictures(
            folders, channels[self.target], loading, resize=self.resize, side=side, reading=reading
        )
        spec = described(spec, dict.fromkeys(channels, reading), dict.fromkeys(channels, pictures))
        return _Derivable(self, spec, pictures)

    @classmethod
    def example(cls, size: int) -> Dataset:
        return MadeUp(DataSpec(size, cls.channels_by_name()))


class _Derivable(CutDataset):
    """A random crop per sample, of which the inputs are made once it is in a batch."""

    def __init__(self, source: Derived, spec: DataSpec, pictures: Pictures) -> None:
        self.spec, self.pictures = spec, (pictures,)
        self.augmentation = source.augmentation(spec, (source.target,))
        self._source = source

    def __len__(self) -> int:
        return len(self.pictures[0])

    def draw(self, index: int, rng: np.random.Generator) -> Mapping[str, Cut]:
        whole = self.pictures[0][index]
        part = Geometry.draw(rng, whole, self.spec.size, flip=self._source.flip)
        return {self._source.target: Cut(self.pictures[0], index, whole, part)}

    def on_device(self, batch: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
        """Augmented, and with the inputs, which are made of what augmentation left."""
        return self.for_preview(super().on_device(batch, seed), seed)

    def for_preview(self, batch: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
        """With the inputs."""
        with torch.no_grad():
            derived = self._source.derive(batch[self._source.target], torch.Generator().manual_seed(seed))
        return {**batch, **derived}
