"""The cache of decoded pictures on disk: one file per folder and reader, replaced as a whole."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import mmap
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import PIL

from translate.contract import Loading
from translate.data.archives import status
from translate.data.decode import Pixels
from translate.errors import GantkError, UsageError
from translate.files import own_temporary_folder, put_in_place, remove_leftovers, temporary_beside

_KINDS = ("uint8", "uint16", "float32")
_MAGIC = b"gantk pixels 2\n"


@dataclass(frozen=True)
class Entry:
    """A picture in a cache file: the file it comes from, and where its pixels are."""

    size: int
    mtime_ns: int
    offset: int
    shape: tuple[int, int, int]
    kind: str

    @property
    def nbytes(self) -> int:
        """Bytes of the pixels, which are kept at their full depth."""
        return math.prod(self.shape) * np.dtype(self.kind).itemsize


class Kept:
    """An open cache file."""

    def __init__(self, entries: Mapping[str, Entry], memory: mmap.mmap | None) -> None:
        self.entries = entries
        self._memory = memory

    def pixels(self, entry: Entry) -> Pixels:
        height, width, channels = entry.shape
        assert self._memory is not None
        flat = np.frombuffer(self._memory, np.dtype(entry.kind), math.prod(entry.shape), entry.offset)
        return flat.reshape(channels, height, width).transpose(1, 2, 0)

    def close(self) -> None:
        """Let go of the file, as Windows does not replace an open one. No array of it may be alive."""
        if self._memory is not None:
            self._memory.close()
            self._memory = None


class Writer:
    """Builds a cache file under a temporary name: pixels, then the index, then where the index begins."""

    def __init__(self, file: Path) -> None:
        self._final = file
        self._index: list[tuple[str, int, int, int, tuple[int, ...], str]] = []
        self._lock = threading.Lock()
        with _blaming(file):
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            remove_leftovers(file.parent)
            self._temporary = temporary_beside(file)
            self._out: IO[bytes] = self._temporary.open("wb", buffering=1 << 20)
            self._out.write(_MAGIC)
        self._end = len(_MAGIC)

    def add(self, path: Path, stamp: tuple[int, int], pixels: Pixels) -> None:
        planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
        with self._lock, _blaming(self._final):
            self._out.write(planes.data)
            self._index.append((name_of(path), *stamp, self._end, pixels.shape, pixels.dtype.name))
            self._end += planes.nbytes

    def finish(self) -> None:
        with _blaming(self._final):
            self._out.write(json.dumps(self._index).encode())
            self._out.write(self._end.to_bytes(8, "little"))
            self._out.close()
            put_in_place(self._temporary, self._final)

    def discard(self) -> None:
        """Remove what was not finished."""
        with contextlib.suppress(OSError):  # a full disk fails once more when what is buffered is flushed
            self._out.close()
        self._temporary.unlink(missing_ok=True)


def open_cache(file: Path) -> Kept:
    """The entries of a cache file; none where there is no such file or it is damaged, so that it is built anew."""
    try:
        with file.open("rb") as source:
            memory = mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        return Kept({}, None)
    try:
        start = int.from_bytes(memory[-8:], "little")
        if memory[: len(_MAGIC)] != _MAGIC or start > len(memory) - 8:
            raise ValueError
        entries = {
            name: Entry(size, mtime, offset, (height, width, channels), kind)
            for name, size, mtime, offset, (height, width, channels), kind in json.loads(memory[start:-8])
        }
        if not all(entry.kind in _KINDS and entry.offset >= 0 and min(entry.shape) >= 1 for entry in entries.values()):
            raise ValueError
        if any(entry.offset + entry.nbytes > start for entry in entries.values()):
            raise ValueError
    except (ValueError, TypeError, RecursionError):
        memory.close()
        return Kept({}, None)
    return Kept(entries, memory)


def cache_file(key: str, loading: Loading, roots: Sequence[Path]) -> Path:
    """Where the pictures below ``roots`` are kept, read as ``key`` says."""
    folder = loading.cache_dir
    if folder is None:
        try:
            folder = own_temporary_folder("gantk-cache")
        except PermissionError as error:
            raise UsageError(f"--cache disk: {error}; remove it or use --cache memory") from None
    names = "\n".join(map(name_of, roots))
    text = f"{names}\n{key}\nPillow {PIL.__version__}"
    return Path(folder) / f"{hashlib.sha256(text.encode(errors='surrogateescape')).hexdigest()[:24]}.pixels"


def name_of(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - a third of the time of Path.absolute, and it resolves ".."


def stamp(path: Path) -> tuple[int, int]:
    """A file's size and the time of its last change, which differ where the file does."""
    try:
        return status(path)
    except OSError:
        return (-1, -1)


@contextlib.contextmanager
def _blaming(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise GantkError(f"--cache disk: cannot write {file} ({error.strerror or error})") from None
