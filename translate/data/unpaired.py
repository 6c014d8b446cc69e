"""Two folders of pictures without any correspondence, as CycleGAN learns from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge
from torch import Tensor

from translate.contract import Dataset, DataSpec, Loading, Source
from translate.data.augment import ON_CPU, ON_DEVICE, Augmenter, DeviceAugmenter, check_names
from translate.data.dataset import CutDataset
from translate.data.decode import Pixels, tell_of_grey
from translate.data.listing import images_in
from translate.data.pictures import Budget, Pictures, scan
from translate.data.transforms import Fit, Geometry, Reader, Resize, side_before_crop, to_tensor
from translate.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Unpaired(Source):
    """Two folders of images, ``x.a`` and ``x.b``, each image of ``a`` shown with a random one of ``b``."""

    a: Annotated[Path, "folder of images of domain a"]
    b: Annotated[Path, "folder of images of domain b"]
    channels: Annotated[Literal[1, 3, 4], "1 grey, 3 RGB, 4 RGBA; every image is converted"] = 3
    resize: Annotated[
        Resize, "resize: squash to a square of --load-size; scale: the shorter side to it; none: crop as it is"
    ] = "resize"
    load_size: Annotated[int | None, "side in pixels before the crop [--size x 286/256]", Ge(4)] = None
    flip: Annotated[bool, "mirror half of the images"] = True
    augment: Annotated[tuple[str, ...], f"on the CPU: {', '.join(ON_CPU)}"] = ()
    augment_device: Annotated[tuple[str, ...], f"on the training device: {', '.join(ON_DEVICE)}"] = ()

    def __post_init__(self) -> None:
        check_names("--augment", self.augment, ON_CPU)
        check_names("--augment-device", self.augment_device, ON_DEVICE)

    def open(self, loading: Loading) -> Dataset:
        """Both folders, scanned. Raises ``UsageError`` where one of them has fewer than two readable images."""
        if loading.cache == "device" and self.augment:
            raise UsageError("--cache device: --augment works on the host; use --augment-device, or --cache memory")
        side = side_before_crop(loading.size, self.load_size)
        found = {"a": images_in("--a", self.a), "b": images_in("--b", self.b)}
        _check_apart(self.a, self.b)
        for name, folder in (("a", self.a), ("b", self.b)):
            _check_enough(name, folder, len(found[name]), "images")
            tell_of_grey(f"--{name}", folder, found[name], self.channels, loading.tell)
        spec = DataSpec(size=loading.size, channels={"a": self.channels, "b": self.channels})
        loading.expect(spec)
        augmenter = Augmenter(self.augment)
        reader = Reader(self.channels, Fit(self.resize, side, loading.size), loading.reading)
        budget = Budget(loading.cache_budget)
        a = scan(found["a"], reader, loading, root=self.a, budget=budget)
        _check_enough("a", self.a, len(a), "readable images")
        b = scan(found["b"], reader, loading, root=self.b, budget=budget)
        _check_enough("b", self.b, len(b), "readable images")
        return _UnpairedDataset(spec, a, b, self.flip, augmenter, DeviceAugmenter(self.augment_device))


class _UnpairedDataset(CutDataset):
    def __init__(
        self, spec: DataSpec, a: Pictures, b: Pictures, flip: bool, augmenter: Augmenter, on_device: DeviceAugmenter
    ) -> None:
        self.spec = spec
        self.packs = (*a.packs, *b.packs)
        self._a, self._b, self._flip = a, b, flip
        self._augmenter, self._device_augmenter = augmenter, on_device

    def __len__(self) -> int:
        return max(len(self._a), len(self._b))

    def sample(self, index: int, rng: np.random.Generator) -> Mapping[str, Tensor]:
        """Image ``index`` of ``a``, counted round, and any of ``b``: (C, size, size) each."""
        return {name: to_tensor(*self._augmenter([cut], rng)) for name, cut in self._draw(index, rng)}

    def cuts(self, index: int, rng: np.random.Generator) -> Mapping[str, Pixels]:
        return dict(self._draw(index, rng))

    def on_device(self, batch: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
        """``batch`` with both domains augmented, each with draws of its own."""
        augment = self._device_augmenter
        return {**batch, "a": augment(batch["a"], seed), "b": augment(batch["b"], seed ^ 1)}

    def _draw(self, index: int, rng: np.random.Generator) -> Iterator[tuple[str, Pixels]]:
        """One by one, since what augments ``a`` draws from ``rng`` before the cut of ``b`` does."""
        path_a = self._a.paths[index % len(self._a)]
        path_b = self._b.paths[int(rng.integers(len(self._b)))]
        for name, image in (("a", self._a[path_a]), ("b", self._b[path_b])):
            yield name, Geometry.draw(rng, image, self.spec.size, flip=self._flip)(image)


def _check_apart(a: Path, b: Path) -> None:
    first, second = a.resolve(), b.resolve()
    if first == second or a.samefile(b):
        raise UsageError(f"--b {b}: the same folder as --a; expected one folder for each domain")
    if first in second.parents:
        raise UsageError(f"--b {b}: lies inside --a {a}, whose sub-folders are read too; expected separate folders")
    if second in first.parents:
        raise UsageError(f"--a {a}: lies inside --b {b}, whose sub-folders are read too; expected separate folders")


def _check_enough(name: str, folder: Path, count: int, what: str) -> None:
    if count < 2:
        raise UsageError(f"--{name} {folder}: expected at least 2 {what} in this folder, found {count}")
