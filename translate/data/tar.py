"""Tar archives as folders: an index of where each member lies, made once, and members read at any place.

Nothing is ever extracted. The layout is that of webdataset's shards, or of any other tar.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import tarfile
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from translate.errors import UsageError
from translate.files import own_temporary_folder, write_text_whole

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SUFFIX = ".tar"

_BLOCK = 512
_VERSION = 1
_WORTH_KEEPING = 1000
"""Members from which an index is kept between runs: it takes a few hundredths of a second to make."""
_CHUNK = 1 << 16
_HEAD = 4096
"""Bytes of each member that distinguish it from another of the same size."""

_ODD = "links, devices and the like"
_OUTSIDE = "names that lead out of the archive"
_REPLACED = "earlier ones of a name"

Place: TypeAlias = tuple[int, int]
"""Where a member begins, and its size, in bytes."""


@dataclass(frozen=True)
class Tar:
    """An indexed archive; see ``translate.data.archives.Archive``."""

    path: str
    mtime_ns: int
    members: Mapping[str, Place]
    left_out: Counter[str]

    @property
    def names(self) -> Mapping[str, Place]:
        return self.members

    def digest(self, names: Iterable[str]) -> str:
        known = hashlib.blake2b(digest_size=8)
        for name in sorted(names):
            start, size = self.members[name]
            head = _Section(self.path, start, size).read(_HEAD) or b""  # without a buffer, which would read more
            known.update(f"{name}\0{size}\0".encode("utf-8", "surrogateescape") + head)
        return known.hexdigest()

    def open(self, name: str) -> BinaryIO:
        return io.BufferedReader(_Section(self.path, *self.members[name]), _CHUNK)

    def status(self, name: str) -> tuple[int, int]:
        return self.members[name][1], self.mtime_ns


class _Section(io.RawIOBase):
    """Part of a file as a file of its own.

    The whole one is open only while it is read: libraries that are handed a file leave it to others to close, and as
    many shards may be in use as there are.
    """

    def __init__(self, path: str, start: int, size: int) -> None:
        self._path, self._start, self._size, self._at = path, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        with io.FileIO(self._path) as whole:
            whole.seek(self._start + self._at)
            count = whole.readinto(view[: max(0, self._size - self._at)]) or 0
        self._at += count
        return count

    def readall(self) -> bytes:
        with io.FileIO(self._path) as whole:
            whole.seek(self._start + self._at)
            content = whole.read(max(0, self._size - self._at)) or b""
        self._at += len(content)
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if self._at < 0:
            raise OSError("a place before the beginning")
        return self._at


def open_tar(path: str) -> Tar | None:
    """The archive of that name; None where there is no such file. Raises ``UsageError`` where it is damaged."""
    try:
        status = os.stat(path)  # noqa: PTH116 - once for every picture that is read
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):  # such as a folder of that name
        return None
    return _indexed(path, status.st_size, status.st_mtime_ns)


@cache
def _indexed(path: str, size: int, mtime_ns: int) -> Tar:
    kept = _kept_index(path)
    if kept is not None and (found := _read_index(kept, size, mtime_ns)) is not None:
        return Tar(path, mtime_ns, *found)
    members, left_out = _index(path)
    if kept is not None and len(members) >= _WORTH_KEEPING:
        content = [_VERSION, size, mtime_ns, list(members.items()), left_out]
        with suppress(OSError):  # a full disk: the next run makes it again
            kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_text_whole(kept, json.dumps(content))
    return Tar(path, mtime_ns, members, left_out)


def _kept_index(path: str) -> Path | None:
    """Where the index of an archive is kept: with the cache of decoded pictures; None where nothing can be."""
    try:
        folder = own_temporary_folder("gantk-cache")
    except PermissionError:
        return None
    name = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()[:24]
    return folder / f"{name}.members"


def _read_index(file: Path, size: int, mtime_ns: int) -> tuple[dict[str, Place], Counter[str]] | None:
    """What is kept of the archive as it is now; None where nothing is, or it is damaged."""
    try:
        version, *known, rows, left_out = json.loads(file.read_bytes())
        if (version, *known) != (_VERSION, size, mtime_ns):
            return None
        members = {name: (int(start), int(length)) for name, (start, length) in rows}
        sound = all(_below(name) == name for name in members) and all(
            start >= 0 and length >= 0 and start + length <= size for start, length in members.values()
        )
        return (members, Counter(dict(left_out))) if sound else None
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None


def _index(path: str) -> tuple[dict[str, Place], Counter[str]]:
    members: dict[str, Place] = {}
    left_out = Counter[str]()
    last = -1
    try:
        with open(path, "rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:  # noqa: PTH123
            while (header := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # which would keep every header of a large archive
                if header.offset <= last:
                    raise tarfile.TarError("its headers go round in a circle")
                last = header.offset
                name = _below(header.name)
                if header.isdir():
                    continue
                if not header.isreg() or header.issparse():
                    left_out[_ODD] += 1
                elif name is None:
                    left_out[_OUTSIDE] += 1
                else:
                    left_out[_REPLACED] += name in members
                    members[name] = header.offset_data, header.size
            _check_end(file, tar.offset)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({(error.strerror or str(error)).lower()})") from None
    except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:
        raise UsageError(f"{path}: a damaged tar ({error}); expected it whole and not compressed") from None
    return members, +left_out


def _below(name: str) -> str | None:
    """A member's name as a path below the archive; None where it would lead elsewhere."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    # On Windows, a drive or a backslash in a part would make a path of its own of it.
    if not parts or any(part == ".." or os.sep in part or os.path.splitdrive(part)[0] for part in parts):
        return None
    return "/".join(parts)


def _check_end(file: BinaryIO, end: int) -> None:
    """Raise ``TarError`` where an archive does not end as it should: then members are missing."""
    file.seek(end)
    block = file.read(_BLOCK)
    if len(block) < _BLOCK:
        raise tarfile.TarError("cut off: its end is missing")
    if any(block):
        raise tarfile.TarError(f"no header at byte {end}, where one is expected")
    while chunk := file.read(1 << 20):
        if chunk.count(0) != len(chunk):
            raise tarfile.TarError("more follows its end: join archives by tar --concatenate")
