"""Two sets of pictures without any correspondence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge

from translate.contract import Dataset, DataSpec, Loading
from translate.data.archives import identity
from translate.data.augment import Augmentation, Augmented
from translate.data.dataset import Cut, CutDataset
from translate.data.example import MadeUp
from translate.data.layouts import one_domain, refuse_results
from translate.data.listing import Folders, list_folders
from translate.data.pictures import CHANNELS, Budget, Pictures, read_pictures
from translate.data.ranges import described, reading_of
from translate.data.transforms import BeforeCrop, EnlargedSide, Geometry, side_before_crop
from translate.errors import UsageError
from translate.reading import Reading


@dataclass(frozen=True, kw_only=True)
class Unpaired(Augmented):
    """Two sets of images, ``x.a`` and ``x.b``, each image of ``a`` shown with a random one of ``b``."""

    a: Annotated[tuple[Path, ...], "folder of images of domain a"]
    b: Annotated[tuple[Path, ...], "folder of images of domain b"]
    channels: Annotated[int, CHANNELS, Ge(1)] = 3
    resize: BeforeCrop = "resize"
    load_size: EnlargedSide = None
    flip: Annotated[bool, "mirror half of the images"] = True

    def open(self, loading: Loading) -> Dataset:
        """Both sets, scanned. Raises ``UsageError`` where one of them has fewer than two readable images."""
        self.check_augment(loading)
        side = side_before_crop(loading.size, self.load_size)
        a, b = (
            list_folders(flag, one_domain(flag, roots, loading, ("--a", "--b")))
            for flag, roots in (("--a", self.a), ("--b", self.b))
        )
        _check_apart(a, b)
        refuse_results(a)
        refuse_results(b)
        _check_enough(a, len(a.files), "images")
        _check_enough(b, len(b.files), "images")
        spec = DataSpec(size=loading.size, channels={"a": self.channels, "b": self.channels})
        loading.expect(spec)
        budget = Budget(loading.cache_budget)

        readings = {"a": reading_of("a", a, loading), "b": reading_of("b", b, loading)}

        def read(folders: Folders, reading: Reading) -> Pictures:
            return read_pictures(
                folders, self.channels, loading, resize=self.resize, side=side, budget=budget, reading=reading
            )

        pictures = read(a, readings["a"]), read(b, readings["b"])
        spec = described(spec, readings, {"a": pictures[0], "b": pictures[1]})
        _check_enough(a, len(pictures[0]), "readable images")
        _check_enough(b, len(pictures[1]), "readable images")
        return _UnpairedDataset(spec, *pictures, self.flip, self.augmentation(spec, ("a",), ("b",)))

    @classmethod
    def example(cls, size: int) -> Dataset:
        return MadeUp(DataSpec(size, {"a": 3, "b": 3}))


class _UnpairedDataset(CutDataset):
    def __init__(self, spec: DataSpec, a: Pictures, b: Pictures, flip: bool, augmentation: Augmentation) -> None:
        self.spec, self.pictures, self.augmentation = spec, (a, b), augmentation
        self._a, self._b, self._flip = a, b, flip

    def __len__(self) -> int:
        return max(len(self._a), len(self._b))

    def draw(self, index: int, rng: np.random.Generator) -> Mapping[str, Cut]:
        """Image ``index`` of ``a``, counted round, and any of ``b``."""
        number_b = int(rng.integers(len(self._b)))
        drawn: dict[str, Cut] = {}
        for name, pictures, number in (("a", self._a, index % len(self._a)), ("b", self._b, number_b)):
            whole = pictures[number]
            part = Geometry.draw(rng, whole, self.spec.size, flip=self._flip)
            drawn[name] = Cut(pictures, number, whole, part)
        return drawn


def _check_apart(a: Folders, b: Folders) -> None:
    real = {place: place.resolve() for place in (*a.places, *b.places)}
    known = {place: identity(place) for place in real}
    for first in a.places:
        for second in b.places:
            if known[first] == known[second]:
                raise UsageError(f"--b {second}: the same folder as --a; expected one folder for each domain")
            for flag, inner, outside, outer in (("--b", second, "--a", first), ("--a", first, "--b", second)):
                if real[outer] in real[inner].parents:
                    raise UsageError(
                        f"{flag} {inner}: lies inside {outside} {outer}, whose sub-folders are read too; "
                        "expected separate folders"
                    )


def _check_enough(folders: Folders, count: int, what: str) -> None:
    if count < 2:
        raise UsageError(f"{folders}: expected at least 2 {what} in this folder, found {count}")
