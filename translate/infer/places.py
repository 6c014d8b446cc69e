"""Where finished results go: a folder on a store, or one of this machine."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from translate.infer.catalogue import Catalogue
from translate.infer.outputs import write_result
from translate.infer.stores import Stores


class Place(Protocol):
    """An output folder."""

    def has(self, name: str) -> bool:
        """Whether it has a result of that name, which need not be made again."""

    def of(self, name: str) -> str:
        """The path or URL of the result of that name."""

    def put(self, file: Path, name: str) -> None:
        """Copy a finished file there, whole or not at all. Raises ``GantkError`` and ``OSError``."""


@dataclass(frozen=True)
class StorePlace:
    """A folder on a store. ``known``: has the names of its results, unless they are to be made again."""

    url: str
    stores: Stores
    known: Catalogue

    def has(self, name: str) -> bool:
        return self.known.has_result(name)

    def of(self, name: str) -> str:
        return f"{self.url}/{name}"

    def put(self, file: Path, name: str) -> None:
        self.stores.put(file, self.of(name))


@dataclass(frozen=True)
class FolderPlace:
    """A folder of this machine."""

    folder: Path
    overwrite: bool

    def has(self, name: str) -> bool:
        path = self.folder / name
        return not self.overwrite and os.path.lexists(path) and not path.is_dir()

    def of(self, name: str) -> str:
        return str(self.folder / name)

    def put(self, file: Path, name: str) -> None:
        size = file.stat().st_size
        with file.open("rb") as finished:
            write_result(
                self.folder / name,
                lambda into: shutil.copyfileobj(finished, into),
                overwrite=self.overwrite,
                most=size,
            )
