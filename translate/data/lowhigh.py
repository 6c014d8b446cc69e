"""High-resolution images with their low-resolution versions, for super-resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from translate.console import current
from translate.contract import Dataset, DataSpec, Loading
from translate.data.augment import OF_ONE_PIXEL, Augmented
from translate.data.bicubic import crop_to_multiple, resize
from translate.data.dataset import Cut, CutDataset
from translate.data.decode import ImageError, Pixels, open_image, probe
from translate.data.degrade import Degradation, degrade
from translate.data.example import MadeUp
from translate.data.layouts import check_high, of_scale, wanted_part
from translate.data.listing import Folders, list_folders
from translate.data.pairing import SAME_NAME, Pattern, match
from translate.data.pictures import CHANNELS, Budget, PictureReader, Pictures, report_grey, scan
from translate.data.ranges import described, reading_of
from translate.data.transforms import Geometry
from translate.errors import UsageError
from translate.reading import Reading


@dataclass(frozen=True, kw_only=True)
class LowHigh(Degradation, Augmented):
    """High-resolution images and their low-resolution versions, which are computed where none are given.

    The batch has ``x.high``, patches of ``--size`` pixels, and ``x.low``, the same patches ``--scale`` times smaller.
    """

    pairs: ClassVar[bool] = True

    hr: Annotated[tuple[Path, ...], "folder of high-resolution images"]
    lr_images: Annotated[tuple[Path, ...], "folder of low-resolution ones (NAME or NAMEx4) [computed from --hr]"] = ()
    pair: Annotated[str, "names of the low-resolution files where they differ, such as '{}_LR'"] = ""
    scale: Annotated[
        Literal[1, 2, 3, 4, 8], "high- over low-resolution side length; 1: the pictures are restored, not enlarged"
    ] = 4
    degradation: Annotated[Literal["bicubic", "real"], "low resolution by MATLAB's bicubic, or as in real photos"] = (
        "bicubic"
    )
    channels: Annotated[int, CHANNELS, Ge(1)] = 3
    flip: Annotated[bool, "mirror half of the patches"] = True
    rotate: Annotated[bool, "turn patches by quarters"] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pair:
            Pattern.parse(self.pair)
        if self.lr_images and self.degradation == "real":
            raise UsageError("--degradation real makes the low-resolution images itself; leave out --lr-images")
        if self.scale == 1 and self.degradation == "bicubic" and not self.lr_images:
            raise UsageError("--scale 1: expected --degradation real or --lr-images; else there is nothing to restore")
        self.check_ranges()
        if self.degradation != "real" and (changed := self.changed()):
            raise UsageError(f"{changed[0]}: expected --degradation real")

    def open(self, loading: Loading) -> Dataset:
        if self.degradation == "bicubic":
            self.check_augment(loading, refused="would not change low and high resolution alike", allowed=OF_ONE_PIXEL)
        else:
            self.check_augment(loading)
        if loading.size % self.scale:
            below = loading.size - loading.size % self.scale
            near = f"{below} or {below + self.scale}" if below else f"{self.scale}"
            raise UsageError(f"--size {loading.size}: must be a multiple of --scale {self.scale}, such as {near}")
        spec = DataSpec(size=loading.size, channels={"low": self.channels, "high": self.channels}, scale=self.scale)
        loading.expect(spec)
        high_files = list_folders("--hr", wanted_part("--hr", self.hr, loading))
        if not self.pair:
            check_high(high_files, self.scale)
        if self.lr_images:
            low_files, partners = self._partners(high_files, loading)
            high_files = replace(high_files, files=tuple(partners))
        else:
            low_files, partners = high_files, {path: path for path in high_files.files}
        # The low-resolution images have a share of the memory to themselves, so that they stay even where the others,
        # from which they are costly to make, do not fit.
        share = loading.cache_budget // (self.scale**2 + 1)
        report_grey(high_files, self.channels, loading)
        reading = reading_of("high", high_files, loading)
        reader = _High(self.channels, self.scale, loading.size, reading)
        high = scan(high_files, reader, loading, budget=Budget(loading.cache_budget - share))
        low: Pictures | None = None
        low_reader: PictureReader = reader
        pairs = [(number, number) for number in range(len(high))]
        if self.degradation == "bicubic" and high:
            files = tuple(partners[path] for path in high.paths)
            low_files = replace(low_files, files=files)
            loading = replace(loading, part=None)  # the partners of what is in the part, whatever they are called
            if self.lr_images:
                low_reader = _Given(self.channels, reading)
            else:
                low_reader = _Shrunk(high, high.numbers(), self.scale, self.channels, loading.size, reading)
            low = scan(low_files, low_reader, loading, budget=Budget(share))
            known = low.numbers()
            pairs = [(number, known[path]) for number, path in enumerate(files) if path in known]
        if not pairs:
            reason = _refusal(reader, high_files.files[0]) or _refusal(low_reader, partners[high_files.files[0]])
            raise UsageError(f"{high_files}: none of its images can be used{reason and f'; the first: {reason}'}")
        spec = described(spec, {"high": reading, "low": reading}, {"high": high, "low": high if low is None else low})
        return _Patches(self, spec, pairs, high, low)

    @classmethod
    def example(cls, size: int) -> Dataset:
        return MadeUp(DataSpec(size, {"low": 3, "high": 3}, scale=4), small=("low",))

    def _partners(self, high: Folders, loading: Loading) -> tuple[Folders, dict[Path, Path]]:
        """The low-resolution files, and that of each high-resolution one. What has none, or one of a wrong size, is
        reported."""
        roots = wanted_part("--lr-images", self.lr_images, loading)
        low = list_folders("--lr-images", of_scale("--lr-images", roots, self.scale))
        suffixes = (f"{{}}x{self.scale}", f"{{}}_x{self.scale}")
        named = (Pattern.parse(self.pair),) if self.pair else (SAME_NAME, *(Pattern(second=name) for name in suffixes))
        partners: dict[Path, Path] = {}
        fault = ""
        for pair in match(high, low, loading, named):
            wrong = _wrong_ratio(*pair, self.scale, loading.reading)
            if wrong is None:
                partners[pair[0]] = pair[1]
                continue
            fault = wrong
            if loading.strict:
                raise UsageError(f"{fault} (--strict-data stops at the first such image)")
            current().line(f"left out {fault}")
        if not partners:
            raise UsageError(f"{low}: no pair fits --scale {self.scale}; the last: {fault}")
        return low, partners


def _refusal(reader: PictureReader, path: Path) -> str:
    """Why a file cannot be read; nothing if it can."""
    try:
        reader(path)
    except ImageError as error:
        return str(error)
    return ""


def _wrong_ratio(high: Path, low: Path, scale: int, reading: Reading) -> str | None:
    """What is wrong with the sizes of a pair. Unreadable files are none of its business: reading them tells."""
    try:
        (width, height, _), (low_width, low_height, _) = probe(high, reading), probe(low, reading)
    except ImageError:
        return None
    if (height // scale, width // scale) == (low_height, low_width):
        return None
    return (
        f"{low}: {low_width}x{low_height} pixels, but {high} of {width}x{height} and --scale {scale} make it "
        f"{width // scale}x{height // scale}"
    )


@dataclass(frozen=True)
class _High:
    """Reads a high-resolution image and cuts it to a multiple of the scale; refuses what is smaller than a patch."""

    channels: int
    scale: int
    size: int
    reading: Reading

    @property
    def key(self) -> str:
        return f"high {self.channels} {self.reading.key} {self.scale} {self.size}"

    def __call__(self, path: Path) -> Pixels:
        image = open_image(path, self.channels, self.reading)
        height, width = image.shape[:2]
        if min(height, width) < self.size:
            raise ImageError(path, f"{width}x{height} pixels are less than a patch of --size {self.size}")
        return crop_to_multiple(image, self.scale)


@dataclass(frozen=True)
class _Shrunk:
    """Computes the low-resolution image of a high-resolution file from the whole of it, as public data sets do."""

    high: Pictures
    numbers: Mapping[Path, int]
    scale: int
    channels: int
    size: int
    reading: Reading

    @property
    def key(self) -> str:
        return f"low {self.channels} {self.reading.key} {self.scale} {self.size}"

    def __call__(self, path: Path) -> Pixels:
        return resize(self.high[self.numbers[path]], 1 / self.scale)


@dataclass(frozen=True)
class _Given:
    """Reads a low-resolution file as it is."""

    channels: int
    reading: Reading

    @property
    def key(self) -> str:
        return f"given {self.channels} {self.reading.key}"

    def __call__(self, path: Path) -> Pixels:
        return open_image(path, self.channels, self.reading)


class _Patches(CutDataset):
    """A random patch of a pair per sample; without ``low``, of the high-resolution image alone until it is a batch."""

    def __init__(
        self, source: LowHigh, spec: DataSpec, pairs: Sequence[tuple[int, int]], high: Pictures, low: Pictures | None
    ) -> None:
        self.spec = spec
        self.pictures = (high,) if low is None else (high, low)
        self.augmentation = source.augmentation(spec, ("high",) if low is None else ("high", "low"))
        self._source, self._pairs, self._high, self._low = source, pairs, high, low

    def __len__(self) -> int:
        return len(self._pairs)

    def draw(self, index: int, rng: np.random.Generator) -> Mapping[str, Cut]:
        number, low_number = self._pairs[index]
        high = self._high[number]
        flip, turn = self._source.flip, self._source.rotate
        if self._low is None:
            part = Geometry.draw(rng, high, self.spec.size, flip=flip, turn=turn)
            return {"high": Cut(self._high, number, high, part)}
        low = self._low[low_number]
        part = Geometry.draw(rng, low, self.spec.size // self.spec.scale, flip=flip, turn=turn)
        return {
            "low": Cut(self._low, low_number, low, part),
            "high": Cut(self._high, number, high, part.enlarged(self.spec.scale)),
        }

    def on_device(self, batch: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
        """With ``degradation="real"``, the low-resolution patches are computed on the batch's device."""
        return self._degraded(super().on_device(batch, seed), seed)

    def for_preview(self, batch: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
        """The degradation is what the model learns to undo, so previews begin with it too."""
        return self._degraded(batch, seed)

    def _degraded(self, batch: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
        if self._low is not None:
            return batch
        generator = torch.Generator().manual_seed(seed)
        return {**batch, "low": degrade(batch["high"], self.spec.scale, generator, self._source)}
