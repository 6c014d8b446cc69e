"""Reading a folder once: the scan that finds unreadable files also fills the cache of decoded pictures."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import mmap
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Protocol, TypeVar

import numpy as np
import PIL

from translate.contract import Loading
from translate.data.dataset import Pack
from translate.data.decode import ImageError, Pixels
from translate.errors import GantkError, UsageError

_MAGIC = b"gantk pixels 1\n"
_WINDOW = 1024  # files handed to the threads at once: bounds memory for very large folders
_PATIENCE = 10.0  # seconds of silence before the scan says how far it is

Key = TypeVar("Key")


class Reader(Protocol):
    """Turns a file into pixels; ``key`` changes whenever the pixels would."""

    @property
    def key(self) -> str: ...

    def __call__(self, path: Path) -> Pixels: ...


class Budget:
    """Bytes of memory that the pictures of one source may take together."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.asked = 0
        """Bytes that were wanted, whether there was room or not."""
        self._left = total
        self._lock = threading.Lock()

    def take(self, count: int) -> bool:
        """Take ``count`` bytes; False where so many are no longer left."""
        with self._lock:
            self.asked += count
            if count > self._left:
                return False
            self._left -= count
            return True


class Pictures(Mapping[Path, Pixels]):
    """The readable files of a folder, in order, as pixels: from the cache where it has them, or else decoded again."""

    def __init__(
        self, paths: Sequence[Path], reader: Reader, held: Mapping[Path, Pixels], packs: Sequence[Pack] = ()
    ) -> None:
        self.paths = list(paths)
        self.packs = packs
        """With ``cache="device"``: what all the pictures are views of."""
        self._known = frozenset(self.paths)
        self._reader = reader
        self._held = held

    def __getitem__(self, path: Path) -> Pixels:
        """Read-only uint8 (H, W, C); raises ``ImageError`` where the file has vanished meanwhile."""
        pixels = self._held.get(path)
        if pixels is not None:
            return pixels
        if path not in self._known:
            raise KeyError(path)
        return self._reader(path)

    def __contains__(self, path: object) -> bool:
        return path in self._known  # Mapping would ask for the pixels, and so decode what is not held

    def __iter__(self) -> Iterator[Path]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)


def scan(
    paths: Sequence[Path], reader: Reader, loading: Loading, *, root: Path, budget: Budget | None = None
) -> Pictures:
    """Read every file once, on threads; leave out, and tell of, each one that cannot be read.

    What was decoded goes into the cache that ``loading`` asks for. ``root``: the folder, which names the file of a
    cache on disk. ``budget``: shared by the scans of one source. Raises ``UsageError`` naming the first unreadable
    file where ``loading.strict``, and where the budget is too small for ``cache="device"``.
    """
    if loading.cache == "disk":
        return _scan_to_disk(paths, reader, loading, root)
    budget = budget or Budget(loading.cache_budget)
    held: dict[Path, Pixels] = {}

    def keep(path: Path, pixels: Pixels) -> None:
        if loading.cache != "off" and budget.take(pixels.nbytes):
            held[path] = _planar(pixels)

    good = _read(paths, reader, keep, loading)
    if loading.cache == "device":
        check_room(root, budget)
        return Pictures(good, reader, held, [pack(held)])
    if loading.cache == "memory" and len(held) < len(good):
        loading.tell(
            f"{root}: {len(held)} of {len(good)} decoded images fit into the {budget.total / 2**30:.3g} GiB of "
            "--cache-budget; the others are decoded each time (--cache disk avoids that)"
        )
    return Pictures(good, reader, held)


def check_room(root: Path, budget: Budget) -> None:
    """Raise ``UsageError`` where ``budget`` did not suffice for what was read from ``root`` and before it."""
    if budget.asked > budget.total:
        needed = math.ceil(budget.asked / 2**30 * 100) / 100
        raise UsageError(
            f"{root}: --cache device keeps all decoded images, which take {needed:.2f} GiB up to here, more than the "
            f"{budget.total / 2**30:.3g} GiB of --cache-budget; raise it, or use --cache memory"
        )


def pack(held: dict[Key, Pixels]) -> Pack:
    """Move pictures into one array; ``held`` has read-only views of it after that."""
    packed = np.empty(sum(pixels.nbytes for pixels in held.values()), np.uint8)
    end = 0
    for key, pixels in held.items():
        height, width, channels = pixels.shape
        planes = packed[end : end + pixels.nbytes].reshape(channels, height, width)
        planes[...] = pixels.transpose(2, 0, 1)
        planes.flags.writeable = False
        held[key] = planes.transpose(1, 2, 0)  # lets go of the picture's own array, so that memory is not needed twice
        end += pixels.nbytes
    return packed


def _planar(pixels: Pixels) -> Pixels:
    """The same (H, W, C) array with its planes one after the other in memory, which is how tensors are cut from it."""
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    planes.flags.writeable = False
    return planes.transpose(1, 2, 0)


def _read(paths: Sequence[Path], reader: Reader, keep: Callable[[Path, Pixels], None], loading: Loading) -> list[Path]:
    def attempt(path: Path) -> ImageError | None:
        try:
            keep(path, reader(path))
        except ImageError as error:
            return error
        return None

    good: list[Path] = []
    done, spoke = 0, time.monotonic()
    with ThreadPoolExecutor(max(1, loading.workers), "gantk-scan") as pool:
        remaining = iter(paths)
        while window := list(islice(remaining, _WINDOW)):
            results = pool.map(attempt, window)
            try:
                for path, error in zip(window, results, strict=True):
                    done += 1
                    if error is None:
                        good.append(path)
                    elif loading.strict:
                        raise UsageError(f"{error} (--strict-data stops at the first unreadable image)")
                    else:
                        loading.tell(f"left out {error}")
                    if time.monotonic() - spoke > _PATIENCE:
                        spoke = time.monotonic()
                        loading.tell(f"reading images: {done} of {len(paths)}")
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return good


@dataclass(frozen=True)
class _Entry:
    """A picture in a cache file: the file it was made of, and where its pixels are."""

    size: int
    mtime_ns: int
    offset: int
    shape: tuple[int, int, int]

    @property
    def nbytes(self) -> int:
        return self.shape[0] * self.shape[1] * self.shape[2]


def _scan_to_disk(paths: Sequence[Path], reader: Reader, loading: Loading, root: Path) -> Pictures:
    file = _cache_file(reader, loading, root)
    kept = _open_cache(file)
    stamps = {path: _stamp(path) for path in paths}
    valid = {
        path: entry
        for path in paths
        if (entry := kept.entries.get(_name(path))) is not None and (entry.size, entry.mtime_ns) == stamps[path]
    }
    missing = [path for path in paths if path not in valid]
    if missing:
        made = _Writer(file)
        try:
            good = set(_read(missing, reader, lambda path, pixels: made.add(path, stamps[path], pixels), loading))
            if good:
                for path in valid:
                    made.add(path, stamps[path], kept.pixels(valid[path]))
                kept.close()
                made.finish()
                kept = _open_cache(file)
        finally:
            made.discard()
    else:
        good = set()
    names = {path: _name(path) for path in paths if path in valid or path in good}
    held = _OnDisk(kept, {path: kept.entries[name] for path, name in names.items() if name in kept.entries})
    return Pictures(list(names), reader, held)


class _Kept:
    """An open cache file."""

    def __init__(self, entries: Mapping[str, _Entry], memory: mmap.mmap | None) -> None:
        self.entries = entries
        self._memory = memory

    def pixels(self, entry: _Entry) -> Pixels:
        height, width, channels = entry.shape
        assert self._memory is not None
        flat = np.frombuffer(self._memory, np.uint8, entry.nbytes, entry.offset)
        return flat.reshape(channels, height, width).transpose(1, 2, 0)

    def close(self) -> None:
        """Let go of the file, as Windows does not replace an open one. No array of it may be alive."""
        if self._memory is not None:
            self._memory.close()
            self._memory = None


class _OnDisk(Mapping[Path, Pixels]):
    def __init__(self, kept: _Kept, entries: Mapping[Path, _Entry]) -> None:
        self._kept = kept
        self._entries = entries

    def __getitem__(self, path: Path) -> Pixels:
        return self._kept.pixels(self._entries[path])

    def __iter__(self) -> Iterator[Path]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class _Writer:
    """Builds a cache file under a temporary name: pixels, then the index, then where the index begins."""

    def __init__(self, file: Path) -> None:
        self._final = file
        self._index: list[tuple[str, int, int, int, tuple[int, ...]]] = []
        self._lock = threading.Lock()
        with _blaming(file):
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, name = tempfile.mkstemp(prefix=f"{file.name}.", suffix=".part", dir=file.parent)
            self._temporary = Path(name)
            self._out: IO[bytes] = os.fdopen(handle, "wb", buffering=1 << 20)
            self._out.write(_MAGIC)
        self._end = len(_MAGIC)

    def add(self, path: Path, stamp: tuple[int, int], pixels: Pixels) -> None:
        planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
        with self._lock, _blaming(self._final):
            self._out.write(planes.data)
            self._index.append((_name(path), *stamp, self._end, pixels.shape))
            self._end += planes.nbytes

    def finish(self) -> None:
        with _blaming(self._final):
            self._out.write(json.dumps(self._index).encode())
            self._out.write(self._end.to_bytes(8, "little"))
            self._out.flush()
            os.fsync(self._out.fileno())
            self._out.close()
            self._temporary.replace(self._final)

    def discard(self) -> None:
        """Remove what was not finished."""
        with contextlib.suppress(OSError):  # a full disk fails once more when what is buffered is flushed
            self._out.close()
        self._temporary.unlink(missing_ok=True)


def _open_cache(file: Path) -> _Kept:
    """The entries of a cache file; none where there is no such file or it is damaged, so that it is built anew."""
    try:
        with file.open("rb") as source:
            memory = mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        return _Kept({}, None)
    try:
        start = int.from_bytes(memory[-8:], "little")
        if memory[: len(_MAGIC)] != _MAGIC or start > len(memory) - 8:
            raise ValueError
        entries = {
            name: _Entry(size, mtime, offset, (height, width, channels))
            for name, size, mtime, offset, (height, width, channels) in json.loads(memory[start:-8])
        }
        if any(e.offset < 0 or min(e.shape) < 1 or e.offset + e.nbytes > start for e in entries.values()):
            raise ValueError
    except (ValueError, TypeError, RecursionError):
        memory.close()
        return _Kept({}, None)
    return _Kept(entries, memory)


def _cache_file(reader: Reader, loading: Loading, root: Path) -> Path:
    folder = loading.cache_dir
    if folder is None:
        folder = Path(tempfile.gettempdir()) / "gantk-cache"
        if sys.platform != "win32":  # a folder in /tmp that somebody else made could hold anything
            folder = folder.with_name(f"gantk-cache-{os.getuid()}")
            if folder.exists() and folder.stat().st_uid != os.getuid():
                raise UsageError(f"--cache disk: {folder} belongs to another user; remove it or use --cache memory")
    key = f"{_name(root)}\n{reader.key}\nPillow {PIL.__version__}"
    return Path(folder) / f"{hashlib.sha256(key.encode(errors='surrogateescape')).hexdigest()[:24]}.pixels"


def _name(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - a third of the time of Path.absolute, and it resolves ".."


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = os.stat(path)  # noqa: PTH116 - once per file of very large folders
    except OSError:
        return (-1, -1)
    return status.st_size, status.st_mtime_ns


@contextlib.contextmanager
def _blaming(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise GantkError(f"--cache disk: cannot write {file} ({error.strerror or error})") from None
