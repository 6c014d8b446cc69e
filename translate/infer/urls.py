"""Paths that were given as URLs of a store."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from translate.errors import UsageError


def url_of(path: Path) -> str | None:
    """The URL that a path was given as, of whose two slashes a ``Path`` makes one; None for a path of this machine.

    Raises ``UsageError`` for ``file://``, which names this machine.
    """
    match = re.fullmatch(r"([a-z][a-z0-9+.-]+):/(.*)", path.as_posix(), re.DOTALL)
    if match is None:
        return None
    if match[1] == "file":
        raise UsageError(f"file://{match[2]}: expected a path, without file://, or the URL of a store")
    return f"{match[1]}://{match[2]}"


def urls_of(paths: Sequence[Path], flag: str) -> list[str]:
    """The URLs of paths that all lie on stores; empty where none does. Raises ``UsageError`` where they are mixed."""
    urls = [url for path in paths if (url := url_of(path)) is not None]
    if urls and len(urls) < len(paths):
        raise UsageError(f"{flag}: expected all photos on stores, such as {urls[0]}, or all on this machine")
    return urls


@contextmanager
def local_copy(place: str) -> Iterator[Path]:
    """A file by its path, or a copy of one by its URL, within a ``with`` statement. Raises ``StoreError``."""
    if "://" not in place:  # which a path never has
        yield Path(place)
        return
    from translate.infer.stores import Stores

    with tempfile.TemporaryDirectory(prefix="gantk-") as folder:
        path = Path(folder) / place.rpartition("/")[2]
        Stores().get(place, path)
        yield path
