"""Reading a folder once: the scan that finds unreadable files also fills the cache of decoded pictures."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from translate.contract import Loading
from translate.data.cache import Entry, Kept, Writer, cache_file, name_of, open_cache, stamp
from translate.data.dataset import Pack
from translate.data.decode import ImageError, Pixels
from translate.errors import UsageError

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


def _scan_to_disk(paths: Sequence[Path], reader: Reader, loading: Loading, root: Path) -> Pictures:
    file = cache_file(reader.key, loading, root)
    kept = open_cache(file)
    stamps = {path: stamp(path) for path in paths}
    valid = {
        path: entry
        for path in paths
        if (entry := kept.entries.get(name_of(path))) is not None and (entry.size, entry.mtime_ns) == stamps[path]
    }
    missing = [path for path in paths if path not in valid]
    if missing:
        made = Writer(file)
        try:
            good = set(_read(missing, reader, lambda path, pixels: made.add(path, stamps[path], pixels), loading))
            if good:
                for path in valid:
                    made.add(path, stamps[path], kept.pixels(valid[path]))
                kept.close()
                made.finish()
                kept = open_cache(file)
        finally:
            made.discard()
    else:
        good = set()
    names = {path: name_of(path) for path in paths if path in valid or path in good}
    held = _OnDisk(kept, {path: kept.entries[name] for path, name in names.items() if name in kept.entries})
    return Pictures(list(names), reader, held)


class _OnDisk(Mapping[Path, Pixels]):
    def __init__(self, kept: Kept, entries: Mapping[Path, Entry]) -> None:
        self._kept = kept
        self._entries = entries

    def __getitem__(self, path: Path) -> Pixels:
        return self._kept.pixels(self._entries[path])

    def __iter__(self) -> Iterator[Path]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
