"""A record of the files that a source names, by which a resumed run knows what changed in them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from translate.contract import Source
from translate.data.listing import find_images
from translate.errors import UsageError

_HEAD = 4096
"""Bytes of each file that tell it from another of the same size."""

_NAMED = 3


def record(source: Source) -> dict[str, str]:
    """A digest of each file below the paths in the source's fields, by field and path: the same where folders moved."""
    files: dict[str, str] = {}
    for field in dataclasses.fields(source):
        for number, root in enumerate(_paths(getattr(source, field.name))):
            try:
                found = find_images(root) if root.is_dir() else [root]
            except UsageError:  # it is reported where the source is opened
                continue
            for path in found:
                name = path.relative_to(root).as_posix() if path != root else path.name
                files[f"{field.name}{number or ''}/{name}"] = _digest(path)
    return files


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


def _paths(value: Any) -> list[Path]:
    if isinstance(value, Path):
        return [value]
    return [item for item in value if isinstance(item, Path)] if isinstance(value, tuple) else []


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            size = file.seek(0, 2)
    except OSError as error:
        return error.strerror or "unreadable"
    return hashlib.blake2b(head + size.to_bytes(8, "little"), digest_size=8).hexdigest()
