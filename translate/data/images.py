"""Images by themselves, for models that make pictures from noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from translate.contract import Dataset, DataSpec, Loading, Source
from translate.data.dataset import CutDataset, Pack
from translate.data.decode import Pixels, look_grey, tell_of_grey
from translate.data.idx import find_idx, is_idx, read_idx
from translate.data.listing import images_in
from translate.data.pictures import Budget, check_room, pack, scan
from translate.data.transforms import Fit, Geometry, Reader, Resize
from translate.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Images(Source):
    """Images without labels: a folder with all its sub-folders, or MNIST's idx files. The batch has ``x.image``."""

    images: Annotated[Path, "folder of images or of idx files, or one idx file (.gz too)"]
    channels: Annotated[Literal[1, 3, 4] | None, "1 grey, 3 RGB, 4 RGBA [1 where all looks grey, else 3]"] = None
    resize: Annotated[Resize, "scale the shorter side to --size, resize both, or none; then the centre"] = "scale"
    flip: Annotated[bool, "mirror half of the images"] = False

    def open(self, loading: Loading) -> Dataset:
        """A folder is read with its sub-folders, whatever they are called; idx files are found directly in it.

        Every image is brought to ``loading.size``, so 28 px digits are enlarged for a size of 32, not padded.
        """
        fit = Fit(self.resize, loading.size, loading.size)
        if self.images.is_file():
            if not is_idx(self.images):
                raise UsageError(f"--images {self.images}: expected a folder, or an idx file of images as MNIST's")
            return self._from_idx([self.images], fit, loading)
        if self.images.is_dir() and (files := find_idx(self.images)):
            return self._from_idx(files, fit, loading)
        paths = images_in("--images", self.images)
        channels = self.channels or (1 if look_grey(paths) else 3)
        tell_of_grey("--images", self.images, paths, channels, loading.tell, asked=self.channels is not None)
        loading.expect(DataSpec(loading.size, {"image": channels}))
        pictures = scan(paths, Reader(channels, fit, loading.reading), loading, root=self.images)
        if not pictures:
            raise UsageError(f"--images {self.images}: none of its {len(paths)} files can be read as an image")
        names = pictures.paths
        return ImageSet(
            len(names),
            lambda index: pictures[names[index]],
            loading.size,
            channels,
            flip=self.flip,
            packs=pictures.packs,
        )

    def _from_idx(self, files: Sequence[Path], fit: Fit, loading: Loading) -> Dataset:
        channels = self.channels or 1
        if channels == 4:
            raise UsageError(f"--channels 4: {files[0]} is grey; expected 1 or 3")
        loading.expect(DataSpec(loading.size, {"image": channels}))
        parts = [read_idx(file) for file in files]
        if len({part.shape[1:] for part in parts}) > 1:
            sizes = ", ".join(
                f"{file.name} {part.shape[2]}x{part.shape[1]}" for file, part in zip(files, parts, strict=True)
            )
            raise UsageError(f"--images {self.images}: expected idx files of one image size, found {sizes}")
        digits = parts[0] if len(parts) == 1 else np.concatenate(parts)

        def pixels(index: int) -> Pixels:
            return np.repeat(fit(digits[index][:, :, None]), channels, axis=2)

        if loading.cache != "device":
            return ImageSet(len(digits), pixels, loading.size, channels, flip=self.flip)
        budget = Budget(loading.cache_budget)
        budget.take(len(digits) * pixels(0).nbytes)
        check_room(self.images, budget)
        held = {index: pixels(index) for index in range(len(digits))}
        return ImageSet(len(held), held.__getitem__, loading.size, channels, flip=self.flip, packs=[pack(held)])


class ImageSet(CutDataset):
    """Pictures by number; a sample is the centre of one, mirrored half of the time where ``flip``.

    ``pixels``: gives the picture of a number, (H, W, channels) with no side smaller than ``size``. ``packs``: what all
    the pictures are views of.
    """

    def __init__(
        self,
        count: int,
        pixels: Callable[[int], Pixels],
        size: int,
        channels: int,
        *,
        flip: bool = False,
        packs: Sequence[Pack] = (),
    ) -> None:
        self.spec, self.packs = DataSpec(size, {"image": channels}), packs
        self._count, self._pixels, self._flip = count, pixels, flip

    def __len__(self) -> int:
        return self._count

    def cuts(self, index: int, rng: np.random.Generator) -> Mapping[str, Pixels]:
        pixels, size = self._pixels(index), self.spec.size
        height, width = pixels.shape[:2]
        mirrored = self._flip and bool(rng.random() < 0.5)
        centre = Geometry((height - size) // 2, (width - size) // 2, size, size, flip=mirrored)
        return {"image": centre(pixels)}
