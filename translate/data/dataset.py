"""Data sets whose samples are parts of pictures, which a device can hold and cut by itself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from translate.contract import Dataset, DataSpec
from translate.data.augment import NO_AUGMENTATION, Augmentation
from translate.data.decode import Pixels
from translate.data.index_maps import to_planes
from translate.data.pictures import Pack, Pictures
from translate.data.transforms import Geometry, to_tensor


@dataclass(frozen=True)
class Cut:
    """Part of a picture: of ``pictures[number]``, which is ``whole``, the channels ``planes`` and there ``part``."""

    pictures: Pictures
    number: int
    whole: Pixels
    part: Geometry
    planes: tuple[int, int] | None = None
    """First channel and the first that does not belong to it; None: all of them."""

    @property
    def pixels(self) -> Pixels:
        """The part, uint8 (H, W, C): a view of the picture."""
        first, end = self.planes or (0, self.whole.shape[2])
        return self.part(self.whole[:, :, first:end])


class CutDataset(Dataset):
    """A data set whose samples are cut from its pictures without a change of any pixel.

    ``pictures``: all that it cuts from. Opened with ``cache="device"``, they have packs: the loader then copies these
    to the device and takes the pixels of each batch from there.
    """

    pictures: Sequence[Pictures] = ()
    augmentation: Augmentation = NO_AUGMENTATION

    @property
    def packs(self) -> Sequence[Pack]:
        """What is to be copied to the device; nothing where the pictures stay on the host."""
        return [pictures.pack for pictures in self.pictures if pictures.pack is not None]

    @abstractmethod
    def draw(self, index: int, rng: np.random.Generator) -> Mapping[str, Cut | Tensor]:
        """The sample, everything random in it from ``rng``: cuts, and tensors such as labels, which stay as they are.

        Every sample has the same names, and the same shape for each.
        """

    def sample(self, index: int, rng: np.random.Generator) -> Mapping[str, Tensor]:
        """The drawn parts as tensors (C, H, W), augmented on the host; index maps as planes."""
        drawn = self.draw(index, rng)
        images = {name: cut.pixels for name, cut in drawn.items() if isinstance(cut, Cut)}
        images = self.augmentation.on_host(images, rng)
        return {
            name: self._tensor(name, images[name]) if isinstance(value, Cut) else value for name, value in drawn.items()
        }

    def on_device(self, batch: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
        """The batch augmented on its device."""
        return self.augmentation.on_device(batch, seed)

    def _tensor(self, name: str, image: Pixels) -> Tensor:
        return to_planes(image, self.spec.channels[name]) if name in self.spec.indexed else to_tensor(image)


class RowSet(CutDataset):
    """Samples of several pictures of one size by name; each is one random crop of all of them, mirrored all or none.

    ``rows``: for each sample the number of each picture among those of its name.
    """

    def __init__(
        self, spec: DataSpec, pictures: Mapping[str, Pictures], rows: Sequence[Mapping[str, int]], *, flip: bool
    ) -> None:
        self.spec, self.pictures = spec, tuple({id(each): each for each in pictures.values()}.values())
        self._named, self._rows, self._flip = pictures, rows, flip

    def __len__(self) -> int:
        return len(self._rows)

    def draw(self, index: int, rng: np.random.Generator) -> Mapping[str, Cut]:
        wholes = {name: self._named[name][number] for name, number in self._rows[index].items()}
        part = Geometry.draw(rng, next(iter(wholes.values())), self.spec.size, flip=self._flip)
        return {name: Cut(self._named[name], self._rows[index][name], whole, part) for name, whole in wholes.items()}
