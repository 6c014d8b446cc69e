"""Slices of pairs of volumes, with their neighbours as channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Ge, Le
from numpy.typing import NDArray
from torch import Tensor
from translate import Console, Dataset, DataSpec, Loading, Source, UsageError
from translate.data.example import MadeUp
from translate.reading import Percentiles

from gantk_medical.volumes import Volume, find_volumes, read_volume

Axis = Literal[0, 1, 2]
Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Volumes(Source):
    """Pairs of volumes on one grid: ``x.a``, a slice of one with its neighbours, and ``x.b``, that of the other."""

    pairs: ClassVar[bool] = True

    a: Annotated[Path, "folder of input volumes: NIfTI files, or a folder of DICOM slices for each"]
    b: Annotated[Path, "folder of target volumes of the same names"]
    neighbours: Annotated[int, "slices on each side that the network is given too", Ge(0), Le(16)] = 0
    axis: Annotated[Axis, "axis of the file along which slices follow each other"] = 2
    flip: Annotated[bool, "mirror half of the slices"] = False

    @classmethod
    def example(cls, size: int) -> Dataset:
        return MadeUp(DataSpec(size, {"a": 3, "b": 1}))

    def open(self, loading: Loading) -> Dataset:
        """All slices of the pairs that can be read; others are reported. ``UsageError`` where there are none."""
        if loading.cache == "device":
            raise UsageError("--cache device: volumes stay in memory; expected --cache memory")
        first, second = find_volumes("--a", self.a), find_volumes("--b", self.b)
        names = [name for name in first if name in second]
        if not names:
            raise UsageError(f"--a {self.a}, --b {self.b}: no two volumes of one name")
        if len(names) < max(len(first), len(second)):
            Console().line(f"{len(names)} pairs; {len(first) + len(second) - 2 * len(names)} volumes have no partner")
        if loading.part is not None:
            names = [path.name for path in loading.part.of(tuple(map(Path, names)), lambda path: path.name)]
        spec = DataSpec(loading.size, {"a": 2 * self.neighbours + 1, "b": 1}, bits={"a": 32, "b": 32})
        loading.expect(spec)
        pairs = [pair for name in names if (pair := _pair(first[name], second[name], loading)) is not None]
        if not pairs:
            raise UsageError(f"--a {self.a}, --b {self.b}: no pair of readable volumes on one grid")
        ranges = {
            name: range_of(name, [pair[index] for pair in pairs], loading) for index, name in enumerate(("a", "b"))
        }
        scaled = [
            tuple(to_unit(np.moveaxis(volume.values, self.axis, 0), ranges[name]) for volume, name in zip(pair, "ab"))
            for pair in pairs
        ]
        return Slices(replace(spec, ranges=ranges), scaled, flip=self.flip)


def _pair(first: Path, second: Path, loading: Loading) -> tuple[Volume, Volume] | None:
    try:
        a, b = read_volume(first), read_volume(second)
        if not a.on_grid_of(b):
            raise UsageError(f"{first}: not on the grid of {second}; expected registered, resampled volumes")
    except UsageError as error:
        if loading.strict:
            raise
        Console().line(f"left out {error}")
        return None
    return a, b


def range_of(name: str, volumes: Sequence[Volume], loading: Loading) -> Range:
    """The numbers that become -1 and 1: as ``--range`` says, measured where it is in percent.

    Raises ``UsageError`` where nothing says it.
    """
    if loading.like is not None and name in loading.like.ranges:
        return loading.like.ranges[name]
    range_ = loading.ranges.get(name, loading.ranges.get(""))
    if range_ is None:
        raise UsageError(
            f"--range {name}=LOW..HIGH: expected the window of volumes, or percentiles such as 0.5%..99.5%"
        )
    if not isinstance(range_, Percentiles):
        return range_
    each = max(1, (1 << 24) // len(volumes))
    numbers = np.concatenate([one.values.ravel()[:: max(1, one.values.size // each)] for one in volumes])
    low, high = np.percentile(numbers, [range_.low, range_.high]).tolist()
    if not low < high:
        raise UsageError(
            f"--range {name}={range_.low:g}%..{range_.high:g}%: the numbers of the volumes do not vary so far"
        )
    Console().line(f"{name}: black is {low:g} and white {high:g}, as measured")
    return low, high


def to_unit(values: NDArray[np.float32], range_: Range) -> NDArray[np.float32]:
    """Numbers as values in [-1, 1], clipped."""
    low, high = range_
    scaled: NDArray[np.float32] = np.clip((values - low) * (2 / (high - low)) - 1, -1, 1).astype(np.float32)
    return scaled


def from_unit(values: NDArray[np.float32], range_: Range) -> NDArray[np.float32]:
    """The inverse of ``to_unit``."""
    low, high = range_
    return ((values + 1) * ((high - low) / 2) + low).astype(np.float32)


def slab(slices: NDArray[np.float32], place: int, neighbours: int) -> NDArray[np.float32]:
    """(2 neighbours + 1, H, W): a slice between its neighbours, the last one repeated beyond the ends."""
    places = np.clip(np.arange(place - neighbours, place + neighbours + 1), 0, len(slices) - 1)
    return slices[places]


class Slices(Dataset):
    """Slices of pairs (S, H, W) in [-1, 1]; a sample is a random square of both, black beyond a slice's border."""

    def __init__(self, spec: DataSpec, pairs: Sequence[Sequence[NDArray[np.float32]]], *, flip: bool) -> None:
        self.spec, self._pairs, self._flip = spec, pairs, flip
        self._places = [(pair, place) for pair, (a, _) in enumerate(pairs) for place in range(len(a))]

    def __len__(self) -> int:
        return len(self._places)

    def sample(self, index: int, rng: np.random.Generator) -> Mapping[str, Tensor]:
        pair, place = self._places[index]
        a, b = self._pairs[pair]
        both = np.concatenate([slab(a, place, self.spec.channels["a"] // 2), b[place : place + 1]])
        size = self.spec.size
        missing = [max(0, size - side) for side in both.shape[1:]]
        margins = [(0, 0), *((short // 2, short - short // 2) for short in missing)]
        both = np.pad(both, margins, constant_values=-1)
        top, left = (int(rng.integers(side - size + 1)) for side in both.shape[1:])
        both = both[:, top : top + size, left : left + size]
        if self._flip and rng.random() < 0.5:
            both = both[:, :, ::-1]
        tensor = torch.from_numpy(np.ascontiguousarray(both))
        return {"a": tensor[:-1], "b": tensor[-1:]}
