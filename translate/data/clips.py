"""Frames of clips: which belong together, and in which order."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePath
from typing import TypeVar

T = TypeVar("T")
P = TypeVar("P", bound=PurePath)


def in_clips(named: Iterable[tuple[P, T]]) -> list[list[tuple[P, T]]]:
    """Anything with a path, by folder, and in natural order within each: a folder is a clip."""
    clips: dict[PurePath, list[tuple[P, T]]] = {}
    for path, value in named:
        clips.setdefault(path.parent, []).append((path, value))
    return [sorted(clip, key=lambda entry: natural(entry[0].name)) for clip in clips.values()]


def natural(name: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """A key that sorts numbers within names by their value, and before letters."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return tuple((0, int(part), "") if part[0] in "0123456789" else (1, 0, part) for part in parts), name
