"""Images by themselves, for models that make pictures from noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge
from torch import Tensor

from translate.console import current
from translate.contract import Dataset, DataSpec, Loading
from translate.data.arrays import Stored, find_stored
from translate.data.augment import NO_AUGMENTATION, Augmentation, Augmented
from translate.data.dataset import Cut, CutDataset
from translate.data.decode import look_grey
from translate.data.example import MadeUp
from translate.data.layouts import folders_in, one_domain, refuse_results
from translate.data.listing import Folders, list_folders
from translate.data.pictures import CHANNELS, Pictures, pictures_of, read_pictures
from translate.data.ranges import described, reading_of
from translate.data.transforms import Geometry, Resize
from translate.errors import UsageError

Channels = Annotated[int | None, f"{CHANNELS} [1 where all looks grey, else 3]", Ge(1)]
Centre = Annotated[Resize, "scale the shorter side to --size, resize both, or none; then the centre"]


@dataclass(frozen=True, kw_only=True)
class Images(Augmented):
    """Images without labels: folders with all their sub-folders, MNIST's idx files or CIFAR's binary batches.

    The batch has ``x.image``.
    """

    images: Annotated[tuple[Path, ...], "folder of images, of idx files or of CIFAR's .bin files, or one such file"]
    channels: Channels = None
    resize: Centre = "scale"
    flip: Annotated[bool, "mirror half of the images"] = False

    def open(self, loading: Loading) -> Dataset:
        """A folder is read with its sub-folders, whatever they are called; idx files are found directly in it.

        Every image is brought to ``loading.size``, so 28 px digits are enlarged for a size of 32, not padded.
        """
        self.check_augment(loading)
        if stored := find_stored("--images", self.images, loading):
            pictures, spec = open_stored(stored, self.channels, self.resize, loading, {})
        else:
            roots = one_domain("--images", self.images, loading)
            folders = list_folders("--images", roots)
            refuse_results(folders)
            for root in roots:
                if len(names := folders_in(root)) > 1:
                    current().line(f"--images {root}: its {len(names)} sub-folders are read as one set, without labels")
            pictures, spec = open_folders(folders, self.channels, self.resize, loading, {})
        return ImageSet(spec, pictures, flip=self.flip, augmentation=self.augmentation(spec, ("image",)))

    @classmethod
    def example(cls, size: int) -> Dataset:
        return MadeUp(DataSpec(size, {"image": 3}))


def open_folders(
    folders: Folders, channels: int | None, resize: Resize, loading: Loading, names: Mapping[str, tuple[str, ...]]
) -> tuple[Pictures, DataSpec]:
    """The pictures of some folders as ``x.image``, and what they are; a model may refuse them before they are read.

    ``channels``: None where they are to be found out. ``names``: for ``DataSpec.names``.
    """
    known = channels if loading.like is None else loading.like.channels["image"]
    grey = known is None and look_grey(folders.files, loading.reading)
    count = known or (1 if grey else 3)
    spec = DataSpec(loading.size, {"image": count}, names)
    loading.expect(spec)
    if grey:
        current().line(f"{folders}: the images look grey; they are taken as 1 channel (--channels 3 keeps colours)")
    reading = reading_of("image", folders, loading)
    pictures = read_pictures(folders, count, loading, resize=resize, reading=reading)
    return pictures, described(spec, {"image": reading}, {"image": pictures})


def open_stored(
    stored: Stored, channels: int | None, resize: Resize, loading: Loading, names: Mapping[str, tuple[str, ...]]
) -> tuple[Pictures, DataSpec]:
    """The same for pictures that lie together in a file."""
    if loading.part is not None:
        raise UsageError(f"--evaluate-every: {stored.source} holds no names to split by; expected picture files")
    own = stored.images.shape[3]
    count = channels or own
    if count not in (own, 3) or count < own:
        raise UsageError(f"--channels {count}: {stored.source} has {own}; expected {own}{' or 3' if own == 1 else ''}")
    spec = DataSpec(loading.size, {"image": count}, names)
    loading.expect(spec)
    return pictures_of(stored.images, count, loading, source=stored.source, resize=resize), spec


class ImageSet(CutDataset):
    """Pictures by number; a sample is the centre of one, mirrored half of the time where ``flip``.

    ``more``: what else the sample of a number has, by name. ``groups``: the numbers of the pictures in each; given, all
    groups are drawn equally often, and any picture of each.
    """

    def __init__(
        self,
        spec: DataSpec,
        pictures: Pictures,
        *,
        more: Callable[[int, np.random.Generator], Mapping[str, Tensor]] = lambda number, rng: {},
        groups: Sequence[Sequence[int]] = (),
        flip: bool = False,
        augmentation: Augmentation = NO_AUGMENTATION,
    ) -> None:
        self.spec, self.pictures, self.augmentation = spec, (pictures,), augmentation
        self._more, self._groups, self._flip = more, groups, flip

    def __len__(self) -> int:
        count = len(self.pictures[0])
        groups = len(self._groups) or 1
        return -(-count // groups) * groups

    def draw(self, index: int, rng: np.random.Generator) -> Mapping[str, Cut | Tensor]:
        number = index
        if self._groups:
            group = self._groups[index % len(self._groups)]
            number = group[int(rng.integers(len(group)))]
        whole, size = self.pictures[0][number], self.spec.size
        height, width = whole.shape[:2]
        mirrored = self._flip and bool(rng.random() < 0.5)
        centre = Geometry((height - size) // 2, (width - size) // 2, size, size, flip=mirrored)
        return {"image": Cut(self.pictures[0], number, whole, centre), **self._more(number, rng)}
