"""Names of the places that pictures lie in: folders, archives (many of them by one pattern) and sets of the hub."""

from __future__ import annotations

import glob
import itertools
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from translate.errors import UsageError

HUB = "hf:"
"""How the name of a data set of the hub, or of a copy of one, begins."""

_HUB = re.compile(rf"{HUB}(?P<name>.+?):(?P<split>[^:/]+)(?::(?P<columns>[^:/]+))?(?:/(?P<inside>.*))?")
_BRACES = re.compile(r"\{(?:(\d{1,9})\.\.(\d{1,9})|([^{}]*,[^{}]*))\}")
_MOST = 1_000_000
"""Names that one pattern may stand for."""


@dataclass(frozen=True)
class HubName:
    """``hf:NAME:SPLIT`` or ``hf:NAME:SPLIT:COLUMN,COLUMN``; ``name`` is the hub's, or the path of a copy."""

    name: str
    split: str
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ":".join([f"{HUB}{self.name}", self.split, *([",".join(self.columns)] if self.columns else [])])

    @property
    def copy(self) -> Path | None:
        """The copy on this machine, where the name is that of one."""
        path = Path(self.name)
        return path if path.exists() else None


def on_hub(path: Path) -> tuple[HubName, str] | None:
    """The data set of such a path, and what follows it, with slashes; None for any other path."""
    if not os.fspath(path).startswith(HUB) or (match := _HUB.fullmatch(path.as_posix())) is None:
        return None
    columns = match["columns"].split(",") if match["columns"] else ()
    return HubName(match["name"], match["split"], tuple(columns)), match["inside"] or ""


def absolute(path: Path) -> Path:
    """The path as it is from any folder: a name of the hub is so already."""
    if (found := on_hub(path)) is None:
        return path.absolute()
    hub, inside = found
    copy = hub.copy
    return Path(str(hub if copy is None else replace(hub, name=copy.absolute().as_posix())), inside)


def expanded(flag: str, place: Path) -> list[Path]:
    """The places that a pattern names, in its order: ``{00..99}`` and ``{a,b}`` as in a shell, ``*``, ``?`` and ``[]``.

    A path that exists, or that is no pattern, stands for itself. What ``*`` finds is sorted. Raises ``UsageError`` that
    begins with ``flag`` where it finds nothing.
    """
    if os.path.lexists(place) or on_hub(place):
        return [place]
    found: list[Path] = []
    for name in _without_braces(flag, os.fspath(place)):
        matches = sorted(glob.glob(name)) if glob.has_magic(name) else [name]  # noqa: PTH207 - names, relative or not
        if not matches:
            raise UsageError(f"{flag} {place}: there is nothing of such a name")
        found += map(Path, matches)
    return found


def _without_braces(flag: str, text: str) -> list[str]:
    """The names that a shell makes of braces."""
    choices: list[Sequence[str]] = []
    end = 0
    for match in _BRACES.finditer(text):
        first, last, listed = match.groups()
        choices += [(text[end : match.start()],), listed.split(",") if listed is not None else _numbers(first, last)]
        end = match.end()
    if math.prod(map(len, choices)) > _MOST:
        raise UsageError(f"{flag} {text}: names more than {_MOST:,} places")
    return ["".join(parts) for parts in itertools.product(*choices, (text[end:],))]


def _numbers(first: str, last: str) -> list[str]:
    """The numbers from the first to the last, all of one width where one of the two has a 0 before it."""
    width = max(map(len, (first, last))) if any(len(end) > 1 and end[0] == "0" for end in (first, last)) else 1
    step = 1 if int(first) <= int(last) else -1
    # One more than may be, so that too many are noticed without being made.
    numbers = range(int(first), int(last) + step, step)[: _MOST + 1]
    return [f"{number:0{width}}" for number in numbers]
