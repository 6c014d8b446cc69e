"""Archives of pictures: whatever takes a folder takes one, and the files in it are paths below the archive's own.

This is the one place that knows which paths those are; all that reads pictures opens them here.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from translate.data.hub import open_hub
from translate.data.tar import SUFFIX as SUFFIX
from translate.data.tar import open_tar
from translate.places import on_hub


class Archive(Protocol):
    """Files by their names, with slashes, that can be read at any place and from any thread.

    ``names``: lists the pictures, and contains what can be opened besides. ``left_out``: members that are no files to
    read, counted by what they are.
    """

    @property
    def names(self) -> Collection[str]: ...

    @property
    def left_out(self) -> Counter[str]: ...

    def open(self, name: str) -> BinaryIO: ...

    def status(self, name: str) -> tuple[int, int]:
        """Size and time (in nanoseconds) of a file, or of all: other ones wherever the file is another."""
        ...

    def digest(self, names: Iterable[str]) -> str:
        """Another one where one of these files is another, but the same for a copy of the archive."""
        ...


@dataclass(frozen=True)
class Member:
    """What a path means in an archive: a file, a folder, or nothing. ``name``: empty for the archive itself."""

    archive: Archive
    name: str

    @property
    def is_file(self) -> bool:
        return self.name in self.archive.names

    def files(self) -> Iterator[str]:
        """The names of all files below, from here on, as the archive has them in order."""
        start = f"{self.name}/" if self.name else ""
        return (name[len(start) :] for name in self.archive.names if name.startswith(start))

    def digest(self) -> str:
        """Of all files below."""
        start = f"{self.name}/" if self.name else ""
        return self.archive.digest(start + name for name in self.files())


def find(path: Path) -> Member | None:
    """What the path means where it is an archive, or lies in one; None for every other path.

    Archives are ``.tar`` files and data sets of the hub. Raises ``UsageError`` for one that cannot be opened.
    """
    if (named := on_hub(path)) is not None:
        return Member(open_hub(named[0]), named[1])
    text = os.fspath(path)
    end = text.lower().find(SUFFIX)
    while end >= 0:
        end += len(SUFFIX)
        if text[end : end + 1] in ("", os.sep) and (archive := open_tar(text[:end])) is not None:
            return Member(archive, text[end + 1 :].replace(os.sep, "/"))
        end = text.lower().find(SUFFIX, end)
    return None


def readable(path: Path) -> Path | BinaryIO:
    """What a library can open: the path itself, or for one in an archive the open file."""
    member = find(path)
    return path if member is None else _open(member, path)


def open_binary(path: Path) -> BinaryIO:
    """The file, open for reading. Raises ``OSError``."""
    member = find(path)
    return path.open("rb") if member is None else _open(member, path)


def _open(member: Member, path: Path) -> BinaryIO:
    _check_file(member, path)
    return member.archive.open(member.name)


def _check_file(member: Member, path: Path) -> None:
    if not member.name:
        raise IsADirectoryError(errno.EISDIR, "an archive; expected a picture", str(path))
    if not member.is_file:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def read_bytes(path: Path) -> bytes:
    """All of a file. Raises ``OSError``."""
    with open_binary(path) as file:
        return file.read()


def read_text(path: Path) -> str | None:
    """All of a UTF-8 file; None where there is no such file. Raises ``OSError`` and ``UnicodeDecodeError``."""
    return read_bytes(path).decode("utf-8-sig") if is_file(path) else None


def status(path: Path) -> tuple[int, int]:
    """A file's size in bytes and the time of its last change in nanoseconds. Raises ``OSError``."""
    member = find(path)
    if member is None:
        found = os.stat(path)  # noqa: PTH116 - once per file of very large folders
        return found.st_size, found.st_mtime_ns
    _check_file(member, path)
    return member.archive.status(member.name)


def is_file(path: Path) -> bool:
    """Whether there is such a file, in a folder or in an archive."""
    member = find(path)
    return path.is_file() if member is None else member.is_file


def is_folder(path: Path) -> bool:
    """Whether it is a folder, an archive or a folder in one."""
    member = find(path)
    if member is None:
        return path.is_dir()
    return not member.name or next(member.files(), None) is not None


def inside(path: Path) -> tuple[set[str], set[str]]:
    """The names of the folders and of the files that lie directly in it. Raises ``OSError``."""
    member = find(path)
    if member is None:
        with os.scandir(path) as entries:
            kinds = {entry.name: entry.is_dir() for entry in entries}
        folders = {name for name, is_dir in kinds.items() if is_dir}
        return folders, {name for name in kinds.keys() - folders if (path / name).is_file()}
    parts = [name.partition("/") for name in member.files()]
    return {first for first, slash, _ in parts if slash}, {first for first, slash, _ in parts if not slash}


def identity(path: Path) -> object:
    """Equal for two paths that name one folder or archive, by whatever way."""
    try:
        found = path.stat()
    except OSError:  # it lies in an archive
        return path.resolve()
    return found.st_dev, found.st_ino
