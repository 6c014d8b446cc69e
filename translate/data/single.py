"""One large picture of each of two domains, from which everything is learnt."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge
from torch import Tensor

from translate.contract import Dataset, DataSpec, Loading, Source
from translate.data import archives
from translate.data.decode import Pixels
from translate.data.example import MadeUp
from translate.data.listing import Folders, list_folders
from translate.data.pictures import CHANNELS, read_pictures
from translate.data.ranges import described, reading_of
from translate.data.transforms import resize, to_tensor
from translate.errors import UsageError

PATCHES = 100_000
"""Patches that make up an epoch, as in the public code of SinCUT."""

_REACH = 2
"""Pixels on each side that the resizing filter takes, in units of the factor by which it shrinks."""


@dataclass(frozen=True, kw_only=True)
class SinglePictures(Source):
    """One picture of each domain: the batch has ``x.a`` and ``x.b``, patches of ``--size`` pixels from them.

    For each patch the picture is shrunk by random factors, one for each side (Park et al., 2020).
    """

    a: Annotated[Path, "picture of domain a, or a folder that holds one"]
    b: Annotated[Path, "picture of domain b, or a folder that holds one"]
    channels: Annotated[int, CHANNELS, Ge(1)] = 3
    zoom: Annotated[float, "each side of a picture is shrunk by a random factor of up to this", Ge(1)] = 3.0
    flip: Annotated[bool, "mirror half of the patches"] = True

    def open(self, loading: Loading) -> Dataset:
        """Both pictures. Raises ``UsageError`` for a folder of several, and where something is to be held out."""
        if loading.part is not None or loading.like is not None:
            raise UsageError("--evaluate-every: one picture of each domain leaves none to hold out")
        spec = DataSpec(loading.size, {"a": self.channels, "b": self.channels})
        loading.expect(spec)
        files = {"a": _only("--a", self.a), "b": _only("--b", self.b)}
        readings = {name: reading_of(name, file, loading) for name, file in files.items()}
        pictures = {
            name: read_pictures(file, self.channels, loading, resize="none", reading=readings[name])
            for name, file in files.items()
        }
        spec = described(spec, readings, pictures)
        return _Patches(self, spec, {name: of_name[0] for name, of_name in pictures.items()})

    @classmethod
    def example(cls, size: int) -> Dataset:
        return MadeUp(DataSpec(size, {"a": 3, "b": 3}))


class _Patches(Dataset):
    def __init__(self, source: SinglePictures, spec: DataSpec, wholes: Mapping[str, Pixels]) -> None:
        self.spec = spec
        self._source, self._wholes = source, wholes

    def __len__(self) -> int:
        return PATCHES

    def sample(self, index: int, rng: np.random.Generator) -> Mapping[str, Tensor]:
        return {name: to_tensor(self._patch(whole, rng)) for name, whole in self._wholes.items()}

    def _patch(self, whole: Pixels, rng: np.random.Generator) -> Pixels:
        """A patch of the shrunken picture, of which only the patch is computed."""
        shares = rng.uniform(1 / self._source.zoom, 1.0, 2)
        places, mirror = rng.random(2), rng.random()
        starts, ends, box = [0, 0], [0, 0], [0.0] * 4
        for axis, length in enumerate(whole.shape[:2]):
            shrunk = max(self.spec.size, round(length * shares[axis]))
            factor = length / shrunk
            first = int(places[axis] * (shrunk - self.spec.size + 1)) * factor
            last = first + self.spec.size * factor
            reach = math.ceil(_REACH * factor)
            starts[axis], ends[axis] = max(0, int(first) - reach), min(length, math.ceil(last) + reach)
            box[1 - axis], box[3 - axis] = first - starts[axis], min(last, length) - starts[axis]
        part = whole[starts[0] : ends[0], starts[1] : ends[1]]
        left, top, right, bottom = box
        patch = resize(part, self.spec.size, self.spec.size, (left, top, right, bottom))
        return patch[:, ::-1] if self._source.flip and mirror < 0.5 else patch


def _only(flag: str, path: Path) -> Folders:
    """The one picture that a path names or holds."""
    if archives.find(path) is None:
        if path.is_file():
            return Folders(flag, (path,), (path,), {path.parent: path})
        if not path.exists():
            raise UsageError(f"{flag} {path}: no such folder or picture")
    folders = list_folders(flag, (path,))
    if len(folders.files) != 1:
        raise UsageError(f"{folders}: holds {len(folders.files)} pictures; expected one, or its path")
    return folders
