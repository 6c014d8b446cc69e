"""A record of the files that a source names, by which a resumed run detects what changed in them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from translate.contract import Source
from translate.data.archives import find, is_folder, open_binary
from translate.data.listing import find_images
from translate.errors import UsageError
from translate.places import expanded

_HEAD = 4096
"""Bytes of each file that distinguish it from another of the same size."""

_NAMED = 3


def record(source: Source) -> dict[str, str]:
    """A digest of each file below the paths in the source's fields, by field and path: the same where folders moved.

    One for each archive, of all that it holds. Without held-out data, which has a source of its own.
    """
    files: dict[str, str] = {}
    for field in dataclasses.fields(source):
        for number, root in enumerate(_places(paths_of(source, field.name))):
            member = find(root)
            for path in files_below(root) if member is None else ():
                name = path.relative_to(root).as_posix() if path != root else path.name
                files[f"{field.name}{number or ''}/{name}"] = digest(path)
            if member is not None:
                files[f"{field.name}{number or ''}/{root.name}"] = member.digest()
    return files


def _places(roots: Sequence[Path]) -> list[Path]:
    """All that some paths name; nothing for a pattern that names nothing, which opening it reports."""
    places: list[Path] = []
    for root in roots:
        with suppress(UsageError):
            places += expanded("", root)
    return places


def files_below(root: Path) -> list[Path]:
    """The pictures in a folder or archive, or the file itself; nothing where it cannot be read, which opening it
    reports."""
    try:
        return find_images(root) if is_folder(root) else [root]
    except UsageError:
        return []


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What happened to the files, one line for each kind of change: added, removed, replaced."""
    kinds = {
        "added": sorted(now.keys() - before.keys()),
        "removed": sorted(before.keys() - now.keys()),
        "replaced": sorted(name for name in now.keys() & before.keys() if now[name] != before[name]),
    }
    return [f"the data have changed: {_listed(names)} {kind}" for kind, names in kinds.items() if names]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    return f"{len(names)} file{'s' if len(names) > 1 else ''} ({shown})"


def paths_of(source: Source, name: str) -> list[Path]:
    """The paths that a field of a source holds, if it is not that of held-out data."""
    value: Any = None if name == "val" else getattr(source, name)
    if isinstance(value, Path):
        return [value]
    return [item for item in value if isinstance(item, Path)] if isinstance(value, tuple) else []


def digest(path: Path) -> str:
    """Of a file's beginning and size; in words why, where it cannot be read."""
    try:
        with open_binary(path) as file:
            head = file.read(_HEAD)
            size = file.seek(0, 2)
    except OSError as error:
        return error.strerror or "unreadable"
    return hashlib.blake2b(head + size.to_bytes(8, "little"), digest_size=8).hexdigest()
