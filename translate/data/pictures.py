"""The pictures of a source: read once, left out where they cannot be, kept where the user wants them kept."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from translate.console import current
from translate.contract import Loading
from translate.data.cache import Entry, Kept, Writer, cache_file, name_of, open_cache, stamp
from translate.data.decode import ImageError, Pixels, look_grey
from translate.data.listing import Folders, list_folders
from translate.data.transforms import Fit, Reader, Resize
from translate.errors import UsageError
from translate.reading import Reading

CHANNELS = "1 grey, 3 RGB, 4 RGBA, any other number of bands as the files have it"
"""For help lines of ``--channels``."""

_WINDOW = 1024  # files handed to the threads at once: bounds memory for very large folders
_PATIENCE = 10.0  # seconds of silence before the scan says how far it is


class PictureReader(Protocol):
    """Turns a file into pixels; ``key`` changes whenever the pixels would."""

    @property
    def key(self) -> str: ...

    def __call__(self, path: Path) -> Pixels: ...


class Budget:
    """Bytes of memory that the pictures of one source may take together."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.wanted = 0
        """Bytes that were needed, whether there was room or not."""
        self._left = total
        self._lock = threading.Lock()

    def take(self, count: int) -> bool:
        """Take ``count`` bytes; False where so many are no longer left."""
        with self._lock:
            self.wanted += count
            if count > self._left:
                return False
            self._left -= count
            return True


@dataclass(frozen=True)
class Pack:
    """Many pictures in one array of one dimension, each with its planes one after the other.

    ``starts``: where each picture begins. ``shapes``: (H, W, C) of each.
    """

    pixels: Pixels
    starts: Sequence[int]
    shapes: Sequence[tuple[int, int, int]]

    @classmethod
    def of(cls, pictures: list[Pixels]) -> Pack:
        """Empties ``pictures`` as it goes, so that the memory is not needed twice."""
        if not pictures:
            return cls(np.empty(0, np.uint8), (), ())
        shapes = [(image.shape[0], image.shape[1], image.shape[2]) for image in pictures]
        starts = [0, *np.cumsum([math.prod(shape) for shape in shapes]).tolist()]
        pixels = np.empty(starts.pop(), pictures[0].dtype)
        for start in reversed(starts):
            planes = pictures.pop().transpose(2, 0, 1)
            pixels[start : start + planes.size].reshape(planes.shape)[...] = planes
        return cls(pixels, starts, shapes)

    @property
    def nbytes(self) -> int:
        """Bytes of all the pixels."""
        return self.pixels.nbytes

    def __getitem__(self, number: int) -> Pixels:
        height, width, channels = self.shapes[number]
        start = self.starts[number]
        flat = self.pixels[start : start + height * width * channels]
        flat.flags.writeable = False
        return flat.reshape(channels, height, width).transpose(1, 2, 0)


class Pictures(Sequence[Pixels]):
    """Pictures by number, (H, W, C) and read-only: from the cache where it has them, or else decoded again.

    ``paths``: the file of each, where each has one. ``pack``: all of them, with ``cache="device"``. ``bits``: of each
    number, 32 for floats.
    """

    def __init__(
        self,
        count: int,
        read: Callable[[int], Pixels],
        *,
        paths: Sequence[Path] = (),
        pack: Pack | None = None,
        bits: int = 8,
    ) -> None:
        self.paths, self.pack, self.bits = tuple(paths), pack, bits
        self._count, self._read = count, read

    @overload
    def __getitem__(self, number: int) -> Pixels: ...
    @overload
    def __getitem__(self, number: slice) -> list[Pixels]: ...
    def __getitem__(self, number: int | slice) -> Pixels | list[Pixels]:
        """Raises ``ImageError`` where the file has vanished or was damaged meanwhile."""
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(self._count))]
        if not 0 <= number < self._count:
            raise IndexError(number)
        return self._read(number)

    def __len__(self) -> int:
        return self._count

    def numbers(self) -> dict[Path, int]:
        """The number of each file's picture."""
        return {path: number for number, path in enumerate(self.paths)}


def open_pictures(
    flag: str,
    folders: Sequence[Path],
    channels: int,
    loading: Loading,
    *,
    resize: Resize = "scale",
    side: int | None = None,
    budget: Budget | None = None,
) -> Pictures:
    """The readable pictures of some folders and their sub-folders, as a source wants them: in one line, all of
    ``--cache``, ``--strict-data``, EXIF orientation, bit depth, damaged files and files that are no pictures.

    ``flag`` names the folders in messages. ``resize``: how each is brought to ``side`` (``loading.size`` unless given),
    of which no side becomes smaller than ``loading.size``. ``budget``: memory that several calls share.

    Raises ``UsageError`` where there is no folder, or no readable picture in it.
    """
    return read_pictures(list_folders(flag, folders), channels, loading, resize=resize, side=side, budget=budget)


def read_pictures(
    folders: Folders,
    channels: int,
    loading: Loading,
    *,
    resize: Resize = "scale",
    side: int | None = None,
    budget: Budget | None = None,
    reading: Reading | None = None,
) -> Pictures:
    """The same for folders that are listed already. ``reading``: how they are opened; ``loading.reading`` if None."""
    report_grey(folders, channels, loading)
    fit = Fit(resize, loading.size if side is None else side, loading.size)
    pictures = scan(folders, Reader(channels, fit, reading or loading.reading), loading, budget=budget)
    if not pictures:
        raise UsageError(f"{folders}: none of its {len(folders.files)} files can be read as an image")
    return pictures


def report_grey(folders: Folders, channels: int, loading: Loading) -> None:
    """Say where grey pictures become colour ones: they can, but mostly ``--channels 1`` was meant."""
    if channels == 1:
        return
    of_root: dict[Path, list[Path]] = {root: [] for root in folders.roots}
    for path in folders.files:
        of_root[folders.places[folders.place_of(path)]].append(path)
    for root, files in of_root.items():
        if look_grey(files, loading.reading):
            current().line(
                f"{folders.flag} {root}: the images look grey; they are taken as {channels} channels "
                "(--channels 1 would not)"
            )


def pictures_of(
    arrays: NDArray[np.uint8], channels: int, loading: Loading, *, source: str, resize: Resize = "scale"
) -> Pictures:
    """Pictures from an array (N, H, W, C) that lies in memory; grey ones become colour where ``channels`` says so.

    ``source`` names it in messages. Raises ``UsageError`` where they do not fit into ``cache="device"``.
    """
    fit = Fit(resize, loading.size, loading.size)

    def read(number: int) -> Pixels:
        image = fit(arrays[number])
        return image if image.shape[2] == channels else np.repeat(image, channels, axis=2)

    if loading.cache != "device":
        return Pictures(len(arrays), read)
    budget = Budget(loading.cache_budget)
    budget.take(len(arrays) * read(0).nbytes)
    _check_room(source, budget)
    pack = Pack.of([read(number) for number in range(len(arrays))])
    return Pictures(len(arrays), pack.__getitem__, pack=pack)


def scan(folders: Folders, reader: PictureReader, loading: Loading, *, budget: Budget | None = None) -> Pictures:
    """Read every file once, on threads; leave out, and report, each one that cannot be read.

    What was decoded goes into the cache that ``loading`` asks for. ``budget``: shared by the scans of one source.
    Raises ``UsageError`` naming the first unreadable file where ``loading.strict``, where pictures are of different
    depths, and where the budget is too small for ``cache="device"``.
    """
    if loading.part is not None:
        folders = replace(folders, files=loading.part.of(folders.files, folders.name))
        if not folders.files:
            raise UsageError(f"{folders}: no pictures in the part for {loading.part.side}; see --val-share")
    if loading.cache == "disk":
        return _scan_to_disk(folders, reader, loading)
    budget = budget or Budget(loading.cache_budget)
    held: dict[Path, Pixels] = {}

    depth = _OneDepth(folders)

    def keep(path: Path, pixels: Pixels) -> None:
        depth.check(path, pixels.dtype)
        if loading.cache != "off" and budget.take(pixels.nbytes):
            held[path] = _planar(pixels)

    good = _read(folders.files, reader, keep, loading)
    if loading.cache == "device":
        _check_room(str(folders), budget)
        pack = Pack.of([held.pop(path) for path in good])
        return Pictures(len(good), pack.__getitem__, paths=good, pack=pack, bits=depth.bits)
    if loading.cache == "memory" and len(held) < len(good):
        current().line(
            f"{folders}: {len(held)} of {len(good)} decoded images fit into the {budget.total / 2**30:.3g} GiB of "
            "--cache-budget; the others are decoded each time (--cache disk avoids that)"
        )
    return _from_files(good, reader, held, depth.bits)


def _from_files(paths: Sequence[Path], reader: PictureReader, held: Mapping[Path, Pixels], bits: int) -> Pictures:
    def read(number: int) -> Pixels:
        pixels = held.get(paths[number])
        return reader(paths[number]) if pixels is None else pixels

    return Pictures(len(paths), read, paths=paths, bits=bits)


class _OneDepth:
    """Sees to it that all pictures of some folders have one depth; the first one sets it. For any thread."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._first: tuple[Path, int] | None = None
        self._lock = threading.Lock()

    @property
    def bits(self) -> int:
        return self._first[1] if self._first else 8

    def check(self, path: Path, kind: np.dtype[Any]) -> None:
        """Raise ``UsageError`` for a picture of another depth than the others."""
        bits = 8 * kind.itemsize
        with self._lock:
            first, expected = self._first = self._first or (path, bits)
        if bits != expected:
            raise UsageError(
                f"{self._folders}: {path} has {bits} bits and {first} {expected}; expected pictures of one depth, "
                "or --range"
            )


def _check_room(source: str, budget: Budget) -> None:
    if budget.wanted > budget.total:
        needed = math.ceil(budget.wanted / 2**30 * 100) / 100
        raise UsageError(
            f"{source}: --cache device keeps all decoded images, which take {needed:.2f} GiB up to here, more than the "
            f"{budget.total / 2**30:.3g} GiB of --cache-budget; raise it, or use --cache memory"
        )


def _planar(pixels: Pixels) -> Pixels:
    """The same (H, W, C) array with its planes one after the other in memory, which is how tensors are cut from it."""
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    planes.flags.writeable = False
    return planes.transpose(1, 2, 0)


def _read(
    paths: Sequence[Path], reader: PictureReader, keep: Callable[[Path, Pixels], None], loading: Loading
) -> list[Path]:
    def attempt(path: Path) -> ImageError | None:
        try:
            keep(path, reader(path))
        except ImageError as error:
            return error
        return None

    good: list[Path] = []
    done, reported = 0, time.monotonic()
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
                        current().line(f"left out {error}")
                    if time.monotonic() - reported > _PATIENCE:
                        reported = time.monotonic()
                        current().line(f"reading images: {done} of {len(paths)}")
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return good


def _scan_to_disk(folders: Folders, reader: PictureReader, loading: Loading) -> Pictures:
    paths = folders.files
    file = cache_file(reader.key, loading, folders.roots)
    kept = open_cache(file)
    stamps = {path: stamp(path) for path in paths}
    valid = {
        path: entry
        for path in paths
        if (entry := kept.entries.get(name_of(path))) is not None and (entry.size, entry.mtime_ns) == stamps[path]
    }
    missing = [path for path in paths if path not in valid]
    if missing:
        writer = Writer(file)
        try:
            good = set(_read(missing, reader, lambda path, pixels: writer.add(path, stamps[path], pixels), loading))
            if good:
                for path in valid:
                    writer.add(path, stamps[path], kept.pixels(valid[path]))
                kept.close()
                writer.finish()
                kept = open_cache(file)
        finally:
            writer.discard()
    else:
        good = set()
    names = {path: name_of(path) for path in paths if path in valid or path in good}
    depth = _OneDepth(folders)
    for path, name in names.items():
        if name in kept.entries:
            depth.check(path, np.dtype(kept.entries[name].kind))
    held = _OnDisk(kept, {path: kept.entries[name] for path, name in names.items() if name in kept.entries})
    return _from_files(list(names), reader, held, depth.bits)


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
