"""The names of photos and results in stores, kept on the disk: a million of them take no memory."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePath

from translate.infer.plan import family


@dataclass(frozen=True)
class Origin:
    """A photo where it lies. ``url``: also a path of this machine; ``size``: in bytes, 0 where it is not known;
    ``inside``, ``listed`` and ``refusal``: as a `Job` has them."""

    url: str
    inside: PurePath
    listed: bool
    size: int = 0
    refusal: str | None = None

    @property
    def remote(self) -> bool:
        """Whether it is to be fetched. A ``Path`` of this machine never has two slashes."""
        return "://" in self.url


class Catalogue:
    """Photos, each once, and the names of results that exist."""

    def __init__(self, base: sqlite3.Connection) -> None:
        self._base = base
        for line in (
            "PRAGMA journal_mode = OFF",
            "PRAGMA synchronous = OFF",
            # Names are bytes, as those of files need not be text.
            "CREATE TABLE photos (number INTEGER PRIMARY KEY, url UNIQUE, inside, family, listed, size, refusal)",
            "CREATE INDEX families ON photos (family)",
            "CREATE TABLE results (name BLOB PRIMARY KEY) WITHOUT ROWID",
        ):
            base.execute(line)

    def add_photos(self, photos: Iterable[Origin]) -> None:
        """Add photos in their order, but for those that are known."""
        rows = (
            (
                os.fsencode(photo.url),
                os.fsencode(photo.inside),
                os.fsencode(family(photo.inside)),
                photo.listed,
                photo.size,
                photo.refusal,
            )
            for photo in photos
        )
        into = "INSERT OR IGNORE INTO photos (url, inside, family, listed, size, refusal) VALUES (?, ?, ?, ?, ?, ?)"
        self._insert(into, rows)

    def add_results(self, names: Iterable[str]) -> None:
        """Add the names of results, below the output folder."""
        self._insert("INSERT OR IGNORE INTO results VALUES (?)", ((os.fsencode(name),) for name in names))

    def has_photo(self, url: str) -> bool:
        """Whether that is a photo."""
        return self._has("SELECT 1 FROM photos WHERE url = ?", url)

    def has_result(self, name: str) -> bool:
        """Whether there is such a result."""
        return self._has("SELECT 1 FROM results WHERE name = ?", name)

    def count(self, *shares: slice) -> int:
        """How many photos there are in one part of all."""
        return sum(count for _, count in self._families(shares))

    def families(self, *shares: slice) -> Iterator[list[Origin]]:
        """The photos of one part of all; those that are in one `family` come together, and are in one part.

        ``shares``: which families, each of those that the one before leaves.
        """
        wanted = "SELECT url, inside, listed, size, refusal FROM photos WHERE family = ? ORDER BY number"
        for name, _ in self._families(shares):
            yield [
                Origin(os.fsdecode(url), PurePath(os.fsdecode(inside)), bool(listed), size, refusal)
                for url, inside, listed, size, refusal in self._base.execute(wanted, (name,))
            ]

    def _families(self, shares: Iterable[slice]) -> Iterator[tuple[bytes, int]]:
        found: Iterator[tuple[bytes, int]] = self._base.execute(
            "SELECT family, count(*) FROM photos GROUP BY family ORDER BY min(number)"
        )
        for share in shares:
            found = islice(found, share.start, share.stop, share.step)
        return found

    def _insert(self, into: str, rows: Iterator[tuple[object, ...]]) -> None:
        with self._base:
            self._base.executemany(into, rows)

    def _has(self, question: str, name: str) -> bool:
        return self._base.execute(question, (os.fsencode(name),)).fetchone() is not None


@contextmanager
def catalogue(file: Path) -> Iterator[Catalogue]:
    """An empty one, which is kept in a file meanwhile."""
    with closing(sqlite3.connect(file)) as base:
        yield Catalogue(base)
