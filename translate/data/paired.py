"""Pairs of pictures of the same thing in two domains: what to translate, and what it should become."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import numpy as np
from annotated_types import Ge, Le
from torch import Tensor

from translate.contract import Dataset, DataSpec, Loading, Source
from translate.data.dataset import CutDataset, Pack
from translate.data.decode import ImageError, Pixels, is_grey, open_image, probe
from translate.data.index_maps import IndexReader, one_hot
from translate.data.listing import images_in
from translate.data.pictures import Budget, scan
from translate.data.transforms import Fit, Geometry, Reader, Resize, side_before_crop, to_tensor
from translate.errors import UsageError

Pair: TypeAlias = tuple[Path, Path]

_LAYOUTS = (("trainA", "trainB"), ("A", "B"))
"""Sub-folders that make of --ab a folder of two domains."""

_NAMED = 3
"""Files that a report names; it counts the others."""


@dataclass(frozen=True, kw_only=True)
class Paired(Source):
    """Pairs of pictures, ``x.a`` and ``x.b``: of the same name in two folders, or side by side in one file."""

    a: Annotated[Path | None, "folder of inputs, with --b"] = None
    b: Annotated[Path | None, "folder of targets of the same names, whatever their suffix"] = None
    ab: Annotated[Path | None, "folder of pictures side by side, or with folders trainA and trainB, or A and B"] = None
    direction: Annotated[Literal["a2b", "b2a"], "the input in --ab: the left half or A, or the right half or B"] = "a2b"
    channels_a: Annotated[Literal[1, 3, 4], "of the input: 1 grey, 3 RGB, 4 RGBA; every image is converted"] = 3
    channels_b: Annotated[Literal[1, 3, 4], "of the target: 1 grey, 3 RGB, 4 RGBA; every image is converted"] = 3
    classes: Annotated[int, "classes of inputs that are maps of class indices (0: pictures)", Ge(0), Le(256)] = 0
    resize: Annotated[
        Resize, "resize: squash to a square of --load-size; scale: the shorter side to it; none: crop as it is"
    ] = "resize"
    load_size: Annotated[int | None, "side in pixels before the crop [--size x 286/256]", Ge(4)] = None
    flip: Annotated[bool, "mirror half of the pairs"] = True

    def open(self, loading: Loading) -> Dataset:
        """The pairs of which both pictures can be read; all else is told of. ``UsageError`` where there are none."""
        if loading.cache == "device" and self.classes:
            raise UsageError("--cache device: the planes of --classes are made on the host; use --cache memory")
        side = side_before_crop(loading.size, self.load_size)
        fit = Fit(self.resize, side, loading.size)
        if self.ab is None:
            if self.a is None or self.b is None:
                raise UsageError("expected --a DIR and --b DIR, or --ab DIR")
            if self.direction == "b2a":
                raise UsageError("--direction b2a goes with --ab; with --a and --b, swap the two folders")
            return self._from_folders(_Folder("--a", self.a), _Folder("--b", self.b), fit, loading)
        if self.a is not None or self.b is not None:
            raise UsageError("--ab holds both domains; expected it alone, or --a and --b")
        for names in _LAYOUTS:
            if any((self.ab / name).is_dir() for name in names):
                first, second = (_Folder("--ab", self.ab / name) for name in names)
                swapped = self.direction == "b2a"
                return self._from_folders(*((second, first) if swapped else (first, second)), fit, loading)
        return self._from_halves(self.ab, fit, loading)

    def _from_folders(self, a: _Folder, b: _Folder, fit: Fit, loading: Loading) -> Dataset:
        matched = _match(a, b, loading)
        loading.expect(self._spec(loading.size))
        pairs = self._of_one_size(matched, a, b, loading)
        reader = IndexReader(self.classes, fit) if self.classes else Reader(self.channels_a, fit)
        budget = Budget(loading.cache_budget)
        inputs = scan([first for first, _ in pairs], reader, loading, root=a.path, budget=budget)
        pairs = [pair for pair in pairs if pair[0] in inputs]
        targets = scan(
            [second for _, second in pairs], Reader(self.channels_b, fit), loading, root=b.path, budget=budget
        )
        pairs = [pair for pair in pairs if pair[1] in targets]
        if not pairs:
            raise UsageError(f"{a}, {b}: no pair of readable images of one size")

        def pixels(index: int) -> tuple[Pixels, Pixels]:
            first, second = pairs[index]
            return inputs[first], targets[second]

        packs = [*inputs.packs, *targets.packs]
        return PairSet(len(pairs), pixels, self._spec(loading.size), flip=self.flip, packs=packs)

    def _from_halves(self, folder: Path, fit: Fit, loading: Loading) -> Dataset:
        if self.classes:
            raise UsageError("--classes needs maps in files of their own; expected --a and --b, or trainA and trainB")
        paths = images_in("--ab", folder)
        loading.expect(self._spec(loading.size))
        _tell_of_grey(folder, [seen[2] for path in paths if (seen := _seen(path))], self._channels, loading)
        reader = _HalvesReader(self._channels, fit, swapped=self.direction == "b2a")
        pictures = scan(paths, reader, loading, root=folder)
        if not pictures:
            raise UsageError(f"--ab {folder}: none of its {len(paths)} files is a picture of two halves side by side")

        def pixels(index: int) -> tuple[Pixels, Pixels]:
            both = pictures[pictures.paths[index]]
            return both[:, :, : self.channels_a], both[:, :, self.channels_a :]

        return PairSet(len(pictures), pixels, self._spec(loading.size), flip=self.flip, packs=pictures.packs)

    def _of_one_size(self, pairs: Sequence[Pair], a: _Folder, b: _Folder, loading: Loading) -> list[Pair]:
        """The pairs whose headers promise one size. Of files that have no readable header, the scan will tell."""
        fitting: list[Pair] = []
        modes_a: list[str] = []
        modes_b: list[str] = []
        for pair in pairs:
            first, second = _seen(pair[0]), _seen(pair[1])
            if first and second:
                if first[:2] != second[:2]:
                    fault = f"{pair[0]}: {_size(first)} pixels, but {pair[1]} has {_size(second)}"
                    if loading.strict:
                        raise UsageError(f"{fault} (--strict-data stops at the first such pair)")
                    loading.tell(f"left out {fault}")
                    continue
                modes_a.append(first[2])
                modes_b.append(second[2])
            fitting.append(pair)
        if not self.classes:
            _tell_of_grey(a.path, modes_a, (self.channels_a,), loading)
        _tell_of_grey(b.path, modes_b, (self.channels_b,), loading)
        return fitting

    @property
    def _channels(self) -> tuple[int, int]:
        return self.channels_a, self.channels_b

    def _spec(self, size: int) -> DataSpec:
        channels = {"a": self.classes or self.channels_a, "b": self.channels_b}
        return DataSpec(size, channels, indexed=("a",) if self.classes else ())


class PairSet(CutDataset):
    """Pairs by number; a sample is one random crop of both, mirrored both or neither.

    ``pixels``: gives the two pictures of a number, of one height and width. A domain that ``spec`` says is indexed
    comes as one-hot float planes, every other one as uint8. ``packs``: what all the pictures are views of.
    """

    def __init__(
        self,
        count: int,
        pixels: Callable[[int], tuple[Pixels, Pixels]],
        spec: DataSpec,
        *,
        flip: bool,
        packs: Sequence[Pack] = (),
    ) -> None:
        self.spec, self.packs = spec, packs
        self._count, self._pixels, self._flip = count, pixels, flip

    def __len__(self) -> int:
        return self._count

    def sample(self, index: int, rng: np.random.Generator) -> Mapping[str, Tensor]:
        cuts = self.cuts(index, rng)
        a = one_hot(cuts["a"], self.spec.channels["a"]) if "a" in self.spec.indexed else to_tensor(cuts["a"])
        return {"a": a, "b": to_tensor(cuts["b"])}

    def cuts(self, index: int, rng: np.random.Generator) -> Mapping[str, Pixels]:
        first, second = self._pixels(index)
        crop = Geometry.draw(rng, first, self.spec.size, flip=self._flip)
        return {"a": crop(first), "b": crop(second)}


@dataclass(frozen=True)
class _Folder:
    """A folder and the flag that named it."""

    flag: str
    path: Path

    def __str__(self) -> str:
        return f"{self.flag} {self.path}"

    def by_name(self) -> dict[str, list[Path]]:
        """Its files by their path within it, without suffix."""
        named: dict[str, list[Path]] = {}
        for path in images_in(self.flag, self.path):
            named.setdefault(path.relative_to(self.path).with_suffix("").as_posix(), []).append(path)
        return named


def _match(a: _Folder, b: _Folder, loading: Loading) -> list[Pair]:
    """The files of one name in both folders; tells of those without a partner."""
    inputs, targets = a.by_name(), b.by_name()
    if a.path.samefile(b.path):
        raise UsageError(f"{b}: the same folder as {a}; expected one folder for the inputs and one for the targets")
    names = [name for name in inputs if name in targets]
    if not names:
        first = next(iter(inputs.values()))[0]
        raise UsageError(
            f"{a}, {b}: no file names match; expected, to go with {first.name}, a file {first.stem} in {b.path}"
        )
    for folder, files, other in ((a, inputs, b), (b, targets, a)):
        alone = [path for name, paths in files.items() if name not in inputs or name not in targets for path in paths]
        if alone:
            listed = ", ".join(path.relative_to(folder.path).as_posix() for path in alone[:_NAMED])
            more = ", ..." if len(alone) > _NAMED else ""
            total = sum(map(len, files.values()))
            loading.tell(
                f"{folder.path}: {len(alone)} of {total} files have no partner in {other.path}: {listed}{more}"
            )
    return [
        (_only(inputs[name], targets[name], loading), _only(targets[name], inputs[name], loading)) for name in names
    ]


def _only(paths: Sequence[Path], partners: Sequence[Path], loading: Loading) -> Path:
    """The one image among files of one name: others than images, such as annotations, may stand beside it."""
    if len(paths) == 1:
        return paths[0]
    images: list[Path] = []
    for path in paths:
        try:
            probe(path)
            images.append(path)
        except ImageError as error:
            loading.tell(f"left out {error}")
    if len(images) > 1:
        raise UsageError(
            f"{images[0]} and {images[1].name}: which of them goes with {partners[0]}? expected one of the name"
        )
    return (images or paths)[0]


def _seen(path: Path) -> tuple[int, int, str] | None:
    """Width, height and mode by the file's header; None where it is unreadable."""
    try:
        return probe(path)
    except ImageError:
        return None


def _size(seen: tuple[int, int, str]) -> str:
    return f"{seen[0]}x{seen[1]}"


def _tell_of_grey(folder: Path, modes: Sequence[str], channels: Sequence[int], loading: Loading) -> None:
    """Say that grey pictures are taken for colour ones: right for a stray one, a wrong flag where all are grey."""
    if min(channels) == 1:
        return
    grey = sum(map(is_grey, modes))
    if grey:
        loading.tell(f"{folder}: {grey} of {len(modes)} images are grey; they are taken as {max(channels)} channels")


@dataclass(frozen=True)
class _HalvesReader:
    """Opens a picture of two halves side by side as one with the channels of both: the input's, then the target's."""

    channels: tuple[int, int]
    fit: Fit
    swapped: bool

    @property
    def key(self) -> str:
        return f"halves {self.channels} {self.swapped} {self.fit.mode} {self.fit.side} {self.fit.least}"

    def __call__(self, path: Path) -> Pixels:
        whole = {count: open_image(path, count) for count in set(self.channels)}
        width = whole[self.channels[0]].shape[1]
        if width % 2:
            raise ImageError(path, f"{width} pixels wide; expected two halves of one width")
        halves = [slice(0, width // 2), slice(width // 2, width)]
        if self.swapped:
            halves.reverse()
        parts = [self.fit(whole[count][:, half]) for count, half in zip(self.channels, halves, strict=True)]
        return np.concatenate(parts, axis=2)
