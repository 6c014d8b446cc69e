"""Pictures that are kept out of training, chosen by their names: the same ones in every run and on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

Side = Literal["train", "val"]


@dataclass
class Part:
    """One of the two parts of a data set: ``train``, or ``val`` with about ``share`` of the files.

    ``applied``: whether a source has used it, so that one that ignores parts is noticed.
    """

    side: Side
    share: float
    applied: bool = field(default=False, compare=False)

    def of(self, files: tuple[Path, ...], name: Callable[[Path], str]) -> tuple[Path, ...]:
        """The files of this part. ``name``: a file's path below its folder, of which the suffix does not count."""
        self.applied = True
        return tuple(path for path in files if self.has(name(path)))

    def has(self, name: str) -> bool:
        """Whether a file of that name belongs here."""
        stem = PurePosixPath(name).with_suffix("").as_posix()
        number = int.from_bytes(hashlib.sha256(stem.encode("utf-8", "surrogateescape")).digest()[:4])
        return (number < self.share * 2**32) == (self.side == "val")
