"""Public layouts of data sets: recognised and reported in one line, or refused with the flags that fit.

What is read is never guessed against the evidence of names and sizes.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from translate.console import current
from translate.contract import Loading
from translate.data import archives
from translate.data.decode import ImageError, probe
from translate.data.listing import JUNK_FOLDERS, Folders, may_be_picture
from translate.data.pairing import Pattern, fits
from translate.errors import UsageError
from translate.reading import Reading

TRAINING = "train"
HELD_OUT = ("val", "valid", "validation", "dev", "test")
"""Names of a data set's parts; of several for held-out data, the first is taken."""

_DOMAINS = (("trainA", "trainB"), ("A", "B"))
_HELD_OUT_DOMAINS = (*((f"{part}A", f"{part}B") for part in HELD_OUT), ("A", "B"))
"""Names of the two sub-folders of a data set of two domains: those of the public data sets."""

_REAL_PAIR = Pattern("{}_real_A", "{}_real_B")
_RESULT = Pattern("{}_real_A", "{}_fake_B")
_LETTERS = (Pattern("{}_A", "{}_B"), Pattern("{}.a", "{}.b"))

_LOW, _HIGH = re.compile(r"(^|[^a-z])(lr|lq|low)([^a-z]|$)"), re.compile(r"(^|[^a-z])(hr|hq|gt|high)([^a-z]|$)")

_LOOKED_AT = 64
"""Files whose headers say which shape the pictures of a folder have."""

_TWO_HALVES = 1.6
"""Width over height from which a picture may be two side by side: photos are up to 3:2."""


def wanted_part(flag: str, roots: Sequence[Path], loading: Loading) -> tuple[Path, ...]:
    """Each folder, or its ``train`` where all its sub-folders are parts of a data set: training, validation, test.

    For held-out data (``loading.like``) the part for validation, or else for test. Raises ``UsageError`` where there
    are pictures beside the parts, as it is not known what these are.
    """
    candidates = (TRAINING,) if loading.like is None else HELD_OUT
    chosen: list[Path] = []
    for root in roots:
        names = folders_in(root)
        part = next((name for name in candidates if name in names), None)
        if part is not None and names <= {TRAINING, *HELD_OUT}:
            if beside := _files_in(root):
                raise UsageError(
                    f"{flag} {root}: has {part}, and files such as {beside} beside it; expected "
                    f"{flag} {_quoted(root / part)}"
                )
            others = sorted(names - {part})
            current().line(f"{flag} {root}: taking {part}" + (f"; not used: {', '.join(others)}" if others else ""))
            root = root / part
        chosen.append(root)
    return tuple(chosen)


def folders_in(root: Path) -> set[str]:
    """The names of the folders directly in one that may hold pictures; none where it cannot be read."""
    try:
        names, _ = archives.inside(root)
    except OSError:
        return set()
    return {name for name in names if not name.startswith(".") and name.lower() not in JUNK_FOLDERS}


def _files_in(root: Path) -> str:
    """The first name of a file directly in the folder that may be a picture, or nothing."""
    return min(filter(may_be_picture, archives.inside(root)[1]), default="")


def one_domain(
    flag: str, roots: Sequence[Path], loading: Loading, both: tuple[str, str] | None = None
) -> tuple[Path, ...]:
    """The wanted parts of folders that hold one domain each.

    Raises ``UsageError`` where a folder is a whole data set of two; ``both``: the flags that take its domains.
    """
    for root in roots:
        for names in _DOMAINS:
            if set(names) <= folders_in(root):
                flags = both or (flag, "")
                expected = [f"{one} {_quoted(root / name)}" for one, name in zip(flags, names, strict=True) if one]
                raise UsageError(f"{flag} {root}: has {names[0]} and {names[1]}; expected {' '.join(expected)}")
    return wanted_part(flag, roots, loading)


def refuse_results(folders: Folders) -> None:
    """Raise ``UsageError`` where a folder of one domain holds what the test of a public code wrote."""
    if _has(folders, _RESULT):
        raise UsageError(
            f"{folders}: holds results, such as *_real_A and *_fake_B; expected a folder of images of one domain"
        )


def _has(folders: Folders, pattern: Pattern) -> bool:
    """Whether at least a third of the files are in such pairs: the public code writes six files for each picture."""
    return 6 * fits(folders, pattern) >= len(folders.files)


def two_domains(flag: str, roots: Sequence[Path], loading: Loading) -> tuple[tuple[Path, ...], tuple[Path, ...]] | None:
    """The folders of the two domains that each of ``roots`` holds, or None where none of them has such sub-folders."""
    for names in _DOMAINS if loading.like is None else _HELD_OUT_DOMAINS:
        inside = [folders_in(root) for root in roots]
        if not any(set(names) & some for some in inside):
            continue
        for root, some in zip(roots, inside, strict=True):
            others = sorted(some - set(names))
            current().line(
                f"{flag} {root}: taking {names[0]} and {names[1]}"
                + (f"; not used: {', '.join(others)}" if others else "")
            )
        first, second = (tuple(root / name for root in roots) for name in names)
        return wanted_part(flag, first, loading), wanted_part(flag, second, loading)
    return None


def pairs_in_one(folders: Folders) -> Pattern | None:
    """How the names in one folder make pairs of files, or None where they do not.

    Raises ``UsageError`` where there are two ways, as in a folder of a public code's results.
    """
    found = [pattern for pattern in (_RESULT, _REAL_PAIR, *_LETTERS) if _has(folders, pattern)]
    if not found:
        return None
    if _RESULT in found and _REAL_PAIR in found:
        raise UsageError(f"{folders}: holds results; expected --pair '{_REAL_PAIR}' or --pair '{_RESULT}'")
    current().line(f"{folders}: taking pairs by their names, {found[0].first} and {found[0].second}")
    return found[0]


def check_halves(folders: Folders, reading: Reading) -> None:
    """Raise ``UsageError`` with the flags that fit where most pictures cannot be two halves side by side.

    Reports where most can be, but are not twice as wide as high.
    """
    shapes: dict[Path, tuple[int, int]] = {}
    count = min(len(folders.files), _LOOKED_AT)
    for number in range(count):
        path = folders.files[number * (len(folders.files) - 1) // max(1, count - 1)]
        with suppress(ImageError):
            width, height, _ = probe(path, reading)
            shapes[path] = width, height
    odd = [path for path, (width, height) in shapes.items() if abs(width / height - 2) > 0.1]
    if 2 * len(odd) <= len(shapes):
        return
    narrow = [path for path in odd if shapes[path][0] < _TWO_HALVES * shapes[path][1]]
    width, height = shapes[(narrow or odd)[0]]
    example = f"{folders.name((narrow or odd)[0])} has {width}x{height} pixels"
    if 2 * len(narrow) <= len(shapes):
        current().line(f"{folders}: {example}, taken as two halves of {width // 2}x{height} side by side")
        return
    raise UsageError(
        f"{folders}: {example}; expected two halves side by side, twice as wide as high "
        f"({_two_folders(folders) or '--a DIR --b DIR for two folders'}; --halves if they are)"
    )


def _two_folders(folders: Folders) -> str:
    """The flags for two sub-folders with files of the same names, or nothing."""
    root = folders.roots[0]
    stems: dict[str, set[str]] = {}
    for path in folders.files:
        if path.is_relative_to(root) and len(parts := path.relative_to(root).parts) > 1:
            stems.setdefault(parts[0], set()).add(Path(*parts[1:]).with_suffix("").as_posix())
    names = sorted(stems, key=lambda name: ("target" in name.lower() or "output" in name.lower(), name))
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            if 2 * len(stems[first] & stems[second]) >= len(stems[first]):
                return f"--a {_quoted(root / first)} --b {_quoted(root / second)} for files of the same names"
    return ""


def check_high(folders: Folders, scale: int) -> None:
    """Raise ``UsageError`` with the flags that fit where high-resolution files and their small versions are mixed."""
    for root in folders.roots:
        names = sorted(folders_in(root))
        low = [name for name in names if _LOW.search(name.lower())]
        high = [name for name in names if _HIGH.search(name.lower())]
        if low and high:
            small = _scaled(root / low[0], scale)
            raise UsageError(
                f"{folders.flag} {root}: has {high[0]} and {low[0]}; expected "
                f"--hr {_quoted(root / high[0])} --lr-images {_quoted(small)}"
            )
    for pattern in (Pattern(second=f"{{}}x{scale}"), Pattern("{}_HR", "{}_LR"), Pattern("{}HR", "{}LR")):
        if _has(folders, pattern):
            root = folders.roots[0]
            raise UsageError(
                f"{folders}: holds pictures and small versions of them; expected "
                f"--hr {_quoted(root)} --lr-images {_quoted(root)} --pair '{pattern.first},{pattern.second}'"
            )


def of_scale(flag: str, roots: Sequence[Path], scale: int) -> tuple[Path, ...]:
    """Each folder of low-resolution images, or its ``X2``, ``X4`` and so on, whichever belongs to the scale."""
    chosen = tuple(_scaled(root, scale) for root in roots)
    for root, place in zip(roots, chosen, strict=True):
        if place != root:
            current().line(f"{flag} {root}: taking {place.name}")
    return chosen


def _scaled(root: Path, scale: int) -> Path:
    return next((root / name for name in sorted(folders_in(root)) if name.lower() == f"x{scale}"), root)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
