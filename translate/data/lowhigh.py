"""High-resolution images with their low-resolution versions, for super-resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

from translate.contract import Dataset, DataSpec, Loading, Source
from translate.data.bicubic import crop_to_multiple, resize
from translate.data.dataset import CutDataset
from translate.data.decode import ImageError, Pixels, open_image, probe, tell_of_grey
from translate.data.listing import images_in
from translate.data.pictures import Budget, Pictures, scan
from translate.data.transforms import Geometry
from translate.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class LowHigh(Source):
    """High-resolution images, and their low-resolution versions, which are made where there are none.

    The batch has ``x.high``, patches of ``--size`` pixels, and ``x.low``, the same patches ``--scale`` times smaller.
    """

    hr: Annotated[Path, "folder of high-resolution images"]
    lr_images: Annotated[Path | None, "folder of low-resolution ones (NAME or NAMEx4) [made from --hr]"] = None
    scale: Annotated[Literal[2, 3, 4, 8], "high- over low-resolution side length"] = 4
    degradation: Annotated[Literal["bicubic", "real"], "low resolution by MATLAB's bicubic, or as in Real-ESRGAN"] = (
        "bicubic"
    )
    channels: Annotated[Literal[1, 3], "1 grey, 3 RGB"] = 3
    flip: Annotated[bool, "mirror half of the patches"] = True
    rotate: Annotated[bool, "turn patches by quarters"] = True

    def __post_init__(self) -> None:
        if self.lr_images is not None and self.degradation == "real":
            raise UsageError("--degradation real makes the low-resolution images itself; leave out --lr-images")

    def open(self, loading: Loading) -> Dataset:
        if loading.size % self.scale:
            below = loading.size - loading.size % self.scale
            near = f"{below} or {below + self.scale}" if below else f"{self.scale}"
            raise UsageError(f"--size {loading.size}: must be a multiple of --scale {self.scale}, such as {near}")
        spec = DataSpec(size=loading.size, channels={"low": self.channels, "high": self.channels}, scale=self.scale)
        loading.expect(spec)
        faults: list[str] = []
        to_user = loading.tell

        def tell(line: str) -> None:
            faults.append(line.removeprefix("left out "))
            to_user(line)

        loading = replace(loading, tell=tell)
        partner = self._partners(loading) if self.lr_images is not None else None
        # The low-resolution images have a share of the memory to themselves, so that they stay even where the others,
        # from which they are costly to make, do not fit.
        share = loading.cache_budget // (self.scale**2 + 1)
        paths = images_in("--hr", self.hr) if partner is None else list(partner)
        tell_of_grey("--hr", self.hr, paths, self.channels, to_user)
        high = scan(
            paths,
            _High(self.channels, self.scale, loading.size),
            loading,
            root=self.hr,
            budget=Budget(loading.cache_budget - share),
        )
        pairs = [(path, path if partner is None else partner[path]) for path in high.paths]
        low: Pictures | None = None
        if self.degradation == "bicubic":
            low = scan(
                [path for _, path in pairs],
                _Made(high, self.scale, self.channels, loading.size) if partner is None else _Given(self.channels),
                loading,
                root=self.lr_images or self.hr,
                budget=Budget(share),
            )
            pairs = [pair for pair in pairs if pair[1] in low]
        if not pairs:
            raise UsageError(f"--hr {self.hr}: none of its images can be used; the first: {faults[0]}")
        return _Patches(self, spec, pairs, high, low)

    def _partners(self, loading: Loading) -> dict[Path, Path]:
        """The low-resolution file of each high-resolution one. What has none, or one of a wrong size, is reported."""
        assert self.lr_images is not None
        high = _by_name(images_in("--hr", self.hr), self.hr)
        low = _by_name(images_in("--lr-images", self.lr_images), self.lr_images)
        names = {name: name if name in low else f"{name}x{self.scale}" for name in high}
        partners = {path: low[names[name]] for name, path in high.items() if names[name] in low}
        if not partners:
            name = next(iter(high))
            raise UsageError(
                f"--hr {self.hr}, --lr-images {self.lr_images}: no file names match; expected, to go with "
                f"{high[name].name}, one named {Path(name).name} or {Path(name).name}x{self.scale}"
            )
        alone = [path for path in high.values() if path not in partners]
        alone += [path for path in low.values() if path not in set(partners.values())]
        faults = [f"{path}: no image of the same name to go with it" for path in alone]
        for pair in list(partners.items()):
            fault = _wrong_ratio(*pair, self.scale)
            if fault:
                faults.append(fault)
                del partners[pair[0]]
        for fault in faults:
            if loading.strict:
                raise UsageError(f"{fault} (--strict-data stops at the first such image)")
            loading.tell(f"left out {fault}")
        if not partners:
            raise UsageError(f"--lr-images {self.lr_images}: no pair fits --scale {self.scale}; the last: {faults[-1]}")
        return partners


def _wrong_ratio(high: Path, low: Path, scale: int) -> str | None:
    """What is wrong with the sizes of a pair. Unreadable files are none of its business: reading them tells."""
    try:
        (width, height, _), (low_width, low_height, _) = probe(high), probe(low)
    except ImageError:
        return None
    if (height // scale, width // scale) == (low_height, low_width):
        return None
    return (
        f"{low}: {low_width}x{low_height} pixels, but {high} of {width}x{height} and --scale {scale} make it "
        f"{width // scale}x{height // scale}"
    )


def _by_name(paths: Sequence[Path], folder: Path) -> dict[str, Path]:
    """Files by their path below ``folder`` without suffix; of several with one name, the first."""
    named: dict[str, Path] = {}
    for path in paths:
        named.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
    return named


@dataclass(frozen=True)
class _High:
    """Reads a high-resolution image and cuts it to a multiple of the scale; refuses what is smaller than a patch."""

    channels: int
    scale: int
    size: int

    @property
    def key(self) -> str:
        return f"high {self.channels} {self.scale} {self.size}"

    def __call__(self, path: Path) -> Pixels:
        image = open_image(path, self.channels)
        height, width = image.shape[:2]
        if min(height, width) < self.size:
            raise ImageError(path, f"{width}x{height} pixels are less than a patch of --size {self.size}")
        return crop_to_multiple(image, self.scale)


@dataclass(frozen=True)
class _Made:
    """Makes the low-resolution image of a high-resolution file, from the whole of it, as data sets are made."""

    high: Pictures
    scale: int
    channels: int
    size: int

    @property
    def key(self) -> str:
        return f"low {self.channels} {self.scale} {self.size}"

    def __call__(self, path: Path) -> Pixels:
        return resize(self.high[path], 1 / self.scale)


@dataclass(frozen=True)
class _Given:
    """Reads a low-resolution file as it is."""

    channels: int

    @property
    def key(self) -> str:
        return f"given {self.channels}"

    def __call__(self, path: Path) -> Pixels:
        return open_image(path, self.channels)


class _Patches(CutDataset):
    """A random patch of a pair per sample; without ``low``, of the high-resolution image alone until it is a batch."""

    def __init__(
        self,
        source: LowHigh,
        spec: DataSpec,
        pairs: Sequence[tuple[Path, Path]],
        high: Pictures,
        low: Pictures | None,
    ) -> None:
        self.spec = spec
        self.packs = (*high.packs, *(low.packs if low is not None else ()))
        self._source, self._pairs, self._high, self._low = source, pairs, high, low

    def __len__(self) -> int:
        return len(self._pairs)

    def cuts(self, index: int, rng: np.random.Generator) -> Mapping[str, Pixels]:
        high_path, low_path = self._pairs[index]
        high = self._high[high_path]
        flip, turn = self._source.flip, self._source.rotate
        if self._low is None:
            return {"high": Geometry.draw(rng, high, self.spec.size, flip=flip, turn=turn)(high)}
        scale = self.spec.scale
        low = self._low[low_path]
        patch = Geometry.draw(rng, low, self.spec.size // scale, flip=flip, turn=turn)
        return {"low": patch(low), "high": patch(high, scale)}

    def on_device(self, batch: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
        """With ``degradation="real"``, the low-resolution patches are made where the batch is."""
        if self._low is not None:
            return batch
        from translate.data.degrade import degrade

        generator = torch.Generator().manual_seed(seed)
        return {**batch, "low": degrade(batch["high"], self.spec.scale, generator)}

    def for_preview(self, batch: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
        """The degradation is what the model learns to undo, so previews begin with it too."""
        return self.on_device(batch, seed)
