"""Which file belongs to which: the one place that compares file names."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TypeAlias

from translate.console import current
from translate.contract import Loading
from translate.data.decode import ImageError, probe
from translate.data.listing import Folders
from translate.errors import UsageError
from translate.reading import STANDARD, Reading

_NAMED = 3
"""Files that a report names; it counts the others."""

_PLACE = "{}"


@dataclass(frozen=True)
class Pattern:
    """How the names of two files of a pair come from what they share: ``{}`` and ``{}x4``, say; without suffixes."""

    first: str = _PLACE
    second: str = _PLACE

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """``'{}_LR'``: the second file's name, beside the first's; ``'{}_A,{}_B'``: both. Raises ``UsageError``."""
        parts = text.split(",")
        if len(parts) > 2 or any(part.count(_PLACE) != 1 or "/" in part for part in parts):
            raise UsageError(f"--pair {text}: expected a pattern such as '{{}}_LR', or two such as '{{}}_A,{{}}_B'")
        return cls(*parts) if len(parts) == 2 else cls(second=parts[0])

    def swapped(self) -> Pattern:
        """The second file first."""
        return Pattern(self.second, self.first)

    def __str__(self) -> str:
        return f"{self.first},{self.second}" if self.first != _PLACE else self.second


SAME_NAME = Pattern()


def match(
    first: Folders, second: Folders, loading: Loading, patterns: Sequence[Pattern] = (SAME_NAME,)
) -> list[tuple[Path, Path]]:
    """The pairs of files whose names fit one of the ``patterns``, the earlier ones before the later.

    Names are compared with the path below the folder and without suffix, whichever way a system spells an accent. Of
    several files of one name the only image counts. Reports what is left without a partner. Raises ``UsageError`` where
    no names match, where several images have one name, and with ``loading.strict`` for the first without a partner.
    """
    firsts = {pattern.first: _by_key(first, pattern.first) for pattern in patterns}
    seconds = {pattern.second: _by_key(second, pattern.second) for pattern in patterns}
    chosen: dict[tuple[str, str], tuple[list[Path], list[Path]]] = {}
    taken: set[Path] = set()
    for pattern in patterns:
        for key, paths in firsts[pattern.first].items():
            partners = seconds[pattern.second].get(key)
            if partners and taken.isdisjoint(paths) and taken.isdisjoint(partners):
                chosen[pattern.first, key] = paths, partners
                taken.update(paths, partners)
    if not chosen:
        raise UsageError(_no_match(first, second, patterns))
    _report_alone(first, second, taken, loading)
    pairs = [(_only(paths, partners, loading), _only(partners, paths, loading)) for paths, partners in chosen.values()]
    order = {path: number for number, path in enumerate(first.files)}
    return sorted(pairs, key=lambda pair: order[pair[0]])


Header: TypeAlias = tuple[int, int, str]
"""Width, height and Pillow's mode."""


def of_one_size(
    groups: Sequence[tuple[Path, ...]], loading: Loading
) -> list[tuple[tuple[Path, ...], tuple[Header, ...]]]:
    """The groups of files whose headers promise one size, with these; none where a header cannot be read.

    The scan reports files without a readable header. Reports the others that are left out; raises ``UsageError`` for
    the first of them with ``loading.strict``.
    """
    fitting: list[tuple[tuple[Path, ...], tuple[Header, ...]]] = []
    for group in groups:
        headers = tuple(header for path in group if (header := header_of(path, loading.reading)))
        if len(headers) < len(group):
            fitting.append((group, ()))
            continue
        for path, (width, height, _) in zip(group, headers, strict=True):
            if (width, height) != headers[0][:2]:
                own = f"{headers[0][0]}x{headers[0][1]}"
                fault = f"{group[0]}: {own} pixels, but {path} has {width}x{height}"
                if loading.strict:
                    raise UsageError(f"{fault} (--strict-data stops at the first such pair)")
                current().line(f"left out {fault}")
                break
        else:
            fitting.append((group, headers))
    return fitting


def header_of(path: Path, reading: Reading) -> Header | None:
    """What a file's header says; None where it cannot be read."""
    try:
        return probe(path, reading)
    except ImageError:
        return None


class Partners:
    """The files of some folders, each found by the name of the one that it belongs to."""

    def __init__(self, folders: Folders, reading: Reading = STANDARD) -> None:
        self._folders, self._reading = folders, reading
        self._files = _by_key(folders, _PLACE)

    def of(self, inside: PurePath, path: Path) -> Path:
        """The one image that is called ``inside``, below its folder and without suffix, and so goes with ``path``.

        Raises ``LookupError`` with the reason where there is none, or more than one.
        """
        key = unicodedata.normalize("NFC", inside.with_suffix("").as_posix())
        if key not in self._files:
            raise LookupError(f"no file {key} in {self._folders.roots[0]}")
        try:
            return _only(self._files[key], [path], Loading(size=1, reading=self._reading))
        except UsageError as error:
            raise LookupError(str(error)) from None


def fits(folders: Folders, pattern: Pattern) -> int:
    """How many pairs the names of one set of files make."""
    first, second = _by_key(folders, pattern.first), _by_key(folders, pattern.second)
    return len(first.keys() & second.keys())


def _by_key(folders: Folders, pattern: str) -> dict[str, list[Path]]:
    before, after = pattern.split(_PLACE)
    found: dict[str, list[Path]] = {}
    for path in folders.files:
        name = Path(folders.name(path)).with_suffix("")
        stem = name.name
        if len(stem) > len(before + after) and stem.startswith(before) and stem.endswith(after):
            key = stem[len(before) : len(stem) - len(after)]
            found.setdefault(name.with_name(key).as_posix(), []).append(path)
    return found


def _no_match(first: Folders, second: Folders, patterns: Sequence[Pattern]) -> str:
    names: Mapping[str, list[Path]] = {}
    pattern = patterns[0]
    for pattern in patterns:
        names = _by_key(first, pattern.first)
        if names:
            break
    if not names:
        expected = " or ".join(dict.fromkeys(each.first for each in patterns))
        return f"{first}: no file is named {expected} (--pair)"
    key, paths = next(iter(names.items()))
    wanted = " or ".join(dict.fromkeys(each.second.replace(_PLACE, Path(key).name) for each in patterns))
    return (
        f"{first}, {second}: no file names match; expected, to go with {paths[0].name}, a file {wanted} in "
        f"{second.roots[0]}; --pair says how names differ, such as --pair '{{}}_LR'"
    )


def _report_alone(first: Folders, second: Folders, taken: set[Path], loading: Loading) -> None:
    for folders, other in ((first, second), (second, first)) if first is not second else ((first, second),):
        alone = [path for path in folders.files if path not in taken]
        if not alone:
            continue
        if loading.strict:
            raise UsageError(f"{alone[0]}: no partner in {other} (--strict-data stops at the first such image)")
        listed = ", ".join(map(folders.name, alone[:_NAMED])) + (", ..." if len(alone) > _NAMED else "")
        current().line(f"{folders}: {len(alone)} of {len(folders.files)} files have no partner in {other}: {listed}")


def _only(paths: Sequence[Path], partners: Sequence[Path], loading: Loading) -> Path:
    """The one image among files of one name: others than images, such as annotations, may lie beside it."""
    if len(paths) == 1:
        return paths[0]
    images: list[Path] = []
    for path in paths:
        try:
            probe(path, loading.reading)
            images.append(path)
        except ImageError as error:
            current().line(f"left out {error}")
    if len(images) > 1:
        raise UsageError(
            f"{images[0]} and {images[1].name}: which of them belongs to {partners[0]}? expected one image of the name"
        )
    return (images or paths)[0]
