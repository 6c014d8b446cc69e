"""Pairs of pictures of the same thing in two domains: what to translate, and what it should become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeAlias

import numpy as np
from annotated_types import Ge, Le

from translate.console import current
from translate.contract import Dataset, DataSpec, Loading
from translate.data.archives import identity
from translate.data.augment import NO_AUGMENTATION, Augmentation, Augmented
from translate.data.dataset import Cut, CutDataset
from translate.data.decode import ImageError, Pixels, is_grey, open_file
from translate.data.example import MadeUp
from translate.data.index_maps import IndexReader
from translate.data.layouts import check_halves, one_domain, pairs_in_one, two_domains, wanted_part
from translate.data.listing import Folders, list_folders
from translate.data.pairing import SAME_NAME, Pattern, header_of, match, of_one_size
from translate.data.pictures import CHANNELS, Budget, Pictures, scan
from translate.data.ranges import described, reading_of
from translate.data.transforms import BeforeCrop, EnlargedSide, Fit, Geometry, Reader, fitted, side_before_crop
from translate.errors import UsageError
from translate.reading import Reading

Pair: TypeAlias = tuple[Path, Path]


@dataclass(frozen=True, kw_only=True)
class Paired(Augmented):
    """Pairs of pictures, ``x.a`` and ``x.b``: of the same name in two folders, or side by side in one file."""

    pairs: ClassVar[bool] = True

    a: Annotated[tuple[Path, ...], "folder of inputs, with --b"] = ()
    b: Annotated[tuple[Path, ...], "folder of targets of the same names, whatever their suffix"] = ()
    ab: Annotated[
        tuple[Path, ...],
        "folder of pictures side by side, of pairs 0_A and 0_B, or with folders trainA and trainB, or A and B",
    ] = ()
    halves: Annotated[bool, "pictures in --ab are two halves side by side, whatever their shape"] = False
    pair: Annotated[str, "names of the targets where they differ, such as '{}_LR'; of both, such as '{}_A,{}_B'"] = ""
    direction: Annotated[Literal["a2b", "b2a"], "the input in --ab: the left half or A, or the right half or B"] = "a2b"
    channels_a: Annotated[int, f"of the input: {CHANNELS}", Ge(1)] = 3
    channels_b: Annotated[int, f"of the target: {CHANNELS}", Ge(1)] = 3
    classes: Annotated[int, "classes of inputs that are maps of class indices (0: pictures)", Ge(0), Le(256)] = 0
    resize: BeforeCrop = "resize"
    load_size: EnlargedSide = None
    flip: Annotated[bool, "mirror half of the pairs"] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pair:
            Pattern.parse(self.pair)
        if self.classes == 1:
            raise UsageError("--classes 1: expected 2 or more, or 0 for pictures")

    @classmethod
    def example(cls, size: int) -> Dataset:
        return MadeUp(DataSpec(size, {"a": 3, "b": 3}))

    def open(self, loading: Loading) -> Dataset:
        """The pairs of which both pictures can be read; all else is reported. ``UsageError`` where there are none."""
        self.check_augment(loading)
        if self.classes:
            if loading.cache == "device":
                raise UsageError("--cache device: the planes of --classes are prepared on the host; use --cache memory")
            self.check_augment(loading, refused="class indices (--classes) cannot be augmented", allowed=frozenset())
        fit = Fit(self.resize, side_before_crop(loading.size, self.load_size), loading.size)
        if not self.ab:
            if not self.a or not self.b:
                raise UsageError("expected --a DIR and --b DIR, or --ab DIR")
            if self.direction == "b2a":
                raise UsageError("--direction b2a goes with --ab; with --a and --b, swap the two folders")
            a, b = (
                list_folders(flag, one_domain(flag, roots, loading, ("--a", "--b")))
                for flag, roots in (("--a", self.a), ("--b", self.b))
            )
            return self._from_folders(a, b, fit, loading, self._pattern or SAME_NAME)
        if self.a or self.b:
            raise UsageError("--ab holds both domains; expected it alone, or --a and --b")
        roots = wanted_part("--ab", self.ab, loading)
        swapped = self.direction == "b2a"
        if domains := two_domains("--ab", roots, loading):
            first, second = (list_folders("--ab", some) for some in domains)
            pattern = self._pattern or SAME_NAME
            if swapped:
                first, second, pattern = second, first, pattern.swapped()
            return self._from_folders(first, second, fit, loading, pattern)
        folders = list_folders("--ab", roots)
        if in_one := self._pattern or pairs_in_one(folders):
            return self._from_folders(folders, folders, fit, loading, in_one.swapped() if swapped else in_one)
        if self.classes:
            raise UsageError("--classes needs maps in files of their own; expected --a and --b, or trainA and trainB")
        if not self.halves:
            check_halves(folders, loading.reading)
        return self._from_halves(folders, fit, loading)

    @property
    def _pattern(self) -> Pattern | None:
        return Pattern.parse(self.pair) if self.pair else None

    def _from_folders(self, a: Folders, b: Folders, fit: Fit, loading: Loading, pattern: Pattern) -> Dataset:
        if pattern == SAME_NAME and set(map(identity, a.places)) & set(map(identity, b.places)):
            raise UsageError(f"{b}: the same folder as {a}; expected one folder for the inputs and one for the targets")
        matched = match(a, b, loading, (pattern,))
        spec = self._spec(loading.size)
        loading.expect(spec)
        pairs = self._of_one_size(matched, a, b, loading)
        readings = {"b": reading_of("b", b, loading)}
        reader: IndexReader | Reader
        if self.classes:
            reader = IndexReader(self.classes, fit, loading.reading)
        else:
            readings["a"] = reading_of("a", a, loading)
            reader = Reader(self.channels_a, fit, readings["a"])
        budget = Budget(loading.cache_budget)
        inputs = scan(replace(a, files=tuple(first for first, _ in pairs)), reader, loading, budget=budget)
        known = inputs.numbers()
        pairs = [pair for pair in pairs if pair[0] in known]
        partners = tuple(second for _, second in pairs)
        whole = replace(loading, part=None)  # the partners of what is in the part, whatever they are called
        targets = scan(replace(b, files=partners), Reader(self.channels_b, fit, readings["b"]), whole, budget=budget)
        known_b = targets.numbers()
        numbers = [(known[first], known_b[second]) for first, second in pairs if second in known_b]
        if not numbers:
            raise UsageError(f"{a}, {b}: no pair of readable images of one size")
        spec = described(spec, readings, {"b": targets} if self.classes else {"a": inputs, "b": targets})
        return PairSet(spec, inputs, targets, numbers, flip=self.flip, augmentation=self._augmentation(spec))

    def _from_halves(self, folders: Folders, fit: Fit, loading: Loading) -> Dataset:
        spec = self._spec(loading.size)
        loading.expect(spec)
        modes = [header[2] for path in folders.files if (header := header_of(path, loading.reading))]
        _report_grey(folders, modes, self._channels)
        readings = {name: reading_of(name, folders, loading) for name in ("a", "b")}
        if readings["a"] != readings["b"]:
            raise UsageError("--range: pictures side by side have one range; expected it without a name")
        reader = _HalvesReader(self._channels, fit, readings["a"], swapped=self.direction == "b2a")
        pictures = scan(folders, reader, loading)
        if not pictures:
            count = len(folders.files)
            raise UsageError(f"{folders}: none of its {count} files is a picture of two halves side by side")

        numbers = [(number, number) for number in range(len(pictures))]
        spec = described(spec, readings, {"a": pictures, "b": pictures})
        return PairSet(
            spec,
            pictures,
            pictures,
            numbers,
            split=self.channels_a,
            flip=self.flip,
            augmentation=self._augmentation(spec),
        )

    def _of_one_size(self, pairs: Sequence[Pair], a: Folders, b: Folders, loading: Loading) -> list[Pair]:
        """The pairs whose headers promise one size."""
        fitting = of_one_size(pairs, loading)
        modes = [[header[2] for header in headers] for _, headers in fitting if headers]
        if not self.classes:
            _report_grey(a, [first for first, _ in modes], (self.channels_a,))
        _report_grey(b, [second for _, second in modes], (self.channels_b,))
        return [(first, second) for (first, second), _ in fitting]

    @property
    def _channels(self) -> tuple[int, int]:
        return self.channels_a, self.channels_b

    def _spec(self, size: int) -> DataSpec:
        channels = {"a": self.classes or self.channels_a, "b": self.channels_b}
        return DataSpec(size, channels, indexed=("a",) if self.classes else ())

    def _augmentation(self, spec: DataSpec) -> Augmentation:
        return NO_AUGMENTATION if self.classes else self.augmentation(spec, ("a", "b"))


class PairSet(CutDataset):
    """Pairs by number; a sample is one random crop of both, mirrored both or neither.

    ``numbers``: of the two pictures of each pair, which are of one height and width. ``split``: where both lie in one
    picture, the channels of the first. A domain that ``spec`` says is indexed comes as one-hot float planes.
    """

    def __init__(
        self,
        spec: DataSpec,
        inputs: Pictures,
        targets: Pictures,
        numbers: Sequence[tuple[int, int]],
        *,
        split: int | None = None,
        flip: bool,
        augmentation: Augmentation = NO_AUGMENTATION,
    ) -> None:
        self.spec, self.augmentation = spec, augmentation
        self.pictures = (inputs,) if inputs is targets else (inputs, targets)
        self._inputs, self._targets, self._numbers = inputs, targets, numbers
        self._split, self._flip = split, flip

    def __len__(self) -> int:
        return len(self._numbers)

    def draw(self, index: int, rng: np.random.Generator) -> Mapping[str, Cut]:
        first, second = self._numbers[index]
        whole = self._inputs[first]
        part = Geometry.draw(rng, whole, self.spec.size, flip=self._flip)
        if self._split is not None:
            halves = (0, self._split), (self._split, whole.shape[2])
            a, b = (Cut(self._inputs, first, whole, part, planes) for planes in halves)
            return {"a": a, "b": b}
        return {
            "a": Cut(self._inputs, first, whole, part),
            "b": Cut(self._targets, second, self._targets[second], part),
        }


def _report_grey(folders: Folders, modes: Sequence[str], channels: Sequence[int]) -> None:
    """Report that grey pictures are read as colour ones: right for a stray one, a wrong flag where all are grey."""
    if min(channels) == 1:
        return
    grey = sum(map(is_grey, modes))
    if grey:
        current().line(f"{folders}: {grey} of {len(modes)} images are grey; they are taken as {max(channels)} channels")


@dataclass(frozen=True)
class _HalvesReader:
    """Opens a picture of two halves side by side as one with the channels of both: the input's, then the target's."""

    channels: tuple[int, int]
    fit: Fit
    reading: Reading
    swapped: bool

    @property
    def key(self) -> str:
        return (
            f"halves {self.channels} {self.reading.key} {self.swapped} {self.fit.mode} {self.fit.side} {self.fit.least}"
        )

    def __call__(self, path: Path) -> Pixels:
        with open_file(path, self.reading) as opened:
            whole = {count: opened.decode(count) for count in set(self.channels)}
        width = whole[self.channels[0]].pixels.shape[1]
        if width % 2:
            raise ImageError(path, f"{width} pixels wide; expected two halves of one width")
        halves = [slice(0, width // 2), slice(width // 2, width)]
        if self.swapped:
            halves.reverse()
        parts = [
            fitted(replace(whole[count], pixels=whole[count].pixels[:, half]), self.fit, self.reading)
            for count, half in zip(self.channels, halves, strict=True)
        ]
        return np.concatenate(parts, axis=2)
