"""Clips in two domains: each frame with the one before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path, PurePath
from typing import Annotated, ClassVar

from annotated_types import Ge

from translate.contract import Dataset, DataSpec, Loading, Source
from translate.data.clips import in_clips
from translate.data.dataset import RowSet
from translate.data.example import MadeUp
from translate.data.listing import Folders, list_folders
from translate.data.pairing import match, of_one_size
from translate.data.pictures import CHANNELS, Budget, scan
from translate.data.ranges import described, reading_of
from translate.data.transforms import BeforeCrop, Fit, OwnSide, Reader, side_before_crop
from translate.errors import UsageError

BEFORE = "_before"
"""What the batch names of the frames before end in."""


@dataclass(frozen=True, kw_only=True)
class Frames(Source):
    """Clips with a partner for each frame: ``x.a``, ``x.b``, and of the frame before ``x.a_before``, ``x.b_before``."""

    pairs: ClassVar[bool] = True

    a: Annotated[tuple[Path, ...], "folder of input clips: a sub-folder of frames for each, in natural order"] = ()
    b: Annotated[tuple[Path, ...], "folder of targets, with the same sub-folders and file names"] = ()
    channels_a: Annotated[int, f"of the input: {CHANNELS}", Ge(1)] = 3
    channels_b: Annotated[int, f"of the target: {CHANNELS}", Ge(1)] = 3
    resize: BeforeCrop = "scale"
    load_size: OwnSide = None
    flip: Annotated[bool, "mirror half of the samples"] = True

    @classmethod
    def example(cls, size: int) -> Dataset:
        return MadeUp(DataSpec(size, dict.fromkeys(("a", "b", f"a{BEFORE}", f"b{BEFORE}"), 3)))

    def open(self, loading: Loading) -> Dataset:
        """Every frame that follows another one. ``UsageError`` where there are none; held-out data are whole clips."""
        if not (self.a and self.b):
            raise UsageError("expected --a DIR and --b DIR")
        side = side_before_crop(loading.size, self.load_size, enlarged=1)
        a, b = (list_folders(flag, roots) for flag, roots in (("--a", self.a), ("--b", self.b)))
        channels = {"a": self.channels_a, "b": self.channels_b}
        channels |= {f"{name}{BEFORE}": count for name, count in channels.items()}
        spec = DataSpec(loading.size, channels)
        loading.expect(spec)
        matched = _of_part(match(a, b, loading), a, loading)
        clips = in_clips((PurePath(a.name(first)), (first, second)) for first, second in matched)
        fitting = {group for group, _ in of_one_size(matched, loading)}
        return self._scanned(clips, fitting, (a, b), spec, Fit(self.resize, side, loading.size), loading)

    def _scanned(
        self,
        clips: Sequence[Sequence[tuple[PurePath, tuple[Path, Path]]]],
        fitting: set[tuple[Path, ...]],
        folders: tuple[Folders, Folders],
        spec: DataSpec,
        fit: Fit,
        loading: Loading,
    ) -> Dataset:
        whole, budget = replace(loading, part=None), Budget(loading.cache_budget)
        readings = {name: reading_of(name, folder, loading) for name, folder in zip("ab", folders, strict=True)}
        groups = [group for clip in clips for _, group in clip if group in fitting]
        pictures = {}
        for place, name in enumerate("ab"):
            files = replace(folders[place], files=tuple(group[place] for group in groups))
            pictures[name] = scan(files, Reader(spec.channels[name], fit, readings[name]), whole, budget=budget)
        known = {name: found.numbers() for name, found in pictures.items()}
        rows = [
            {
                **{name: known[name][path] for name, path in zip("ab", now, strict=True)},
                **{f"{name}{BEFORE}": known[name][path] for name, path in zip("ab", before, strict=True)},
            }
            for clip in clips
            for (_, before), (_, now) in pairwise(clip)
            if all(path in known[name] for group in (before, now) for name, path in zip("ab", group, strict=True))
        ]
        if not rows:
            raise UsageError(f"{folders[0]}, {folders[1]}: expected sub-folders of two or more frames of one size")
        spec = described(spec, readings, pictures)
        all_of_them = {**pictures, **{f"{name}{BEFORE}": found for name, found in pictures.items()}}
        return RowSet(spec, all_of_them, rows, flip=self.flip)


def _of_part(matched: Sequence[tuple[Path, Path]], a: Folders, loading: Loading) -> list[tuple[Path, Path]]:
    """The frames of the clips in the part that is opened."""
    if loading.part is None:
        return list(matched)
    # Part leaves a suffix out of account, which a clip's name may have.
    inside = set(loading.part.of(a.files, lambda path: f"{PurePath(a.name(path)).parent}/frames"))
    kept = [pair for pair in matched if pair[0] in inside]
    if not kept:
        raise UsageError(f"{a}: no clips in the part for {loading.part.side}; see --val-share")
    return kept
