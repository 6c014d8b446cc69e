"""Pictures that lie together in one file: MNIST's idx files and CIFAR's binary batches, with their labels."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from translate.console import current
from translate.contract import Loading
from translate.data import archives
from translate.data.idx import IMAGES, LABELS, is_idx, read_idx
from translate.errors import UsageError

Scalar = TypeVar("Scalar", bound=np.generic)

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE
_IDX = re.compile(r".*idx3-ubyte(\.gz)?", re.IGNORECASE)
_CIFAR100 = re.compile(r"(train|test)\.bin")
_CIFAR = re.compile(r"(data_batch_\d+|test_batch|train|test)\.bin")
_PICKLED = re.compile(r"data_batch_\d+|test_batch|train|test")
_HELD_OUT = re.compile(r"t10k-|test")
"""How the names of test sets begin: MNIST's and CIFAR's."""


@dataclass(frozen=True)
class Stored:
    """Pictures uint8 (N, H, W, C), and the label of each where the files have them.

    ``classes``: the names of the labels in order, or nothing where no file beside the pictures gives them. ``source``:
    the files, for messages.
    """

    source: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None
    classes: tuple[str, ...]


def find_stored(flag: str, places: Sequence[Path], loading: Loading, *, labelled: bool = False) -> Stored | None:
    """What lies in such files, given by themselves or by their folders; None where ``places`` are other folders.

    ``labelled``: read the labels too. Of a folder with training and test files, the training files are taken, or the
    test files for held-out data; the user hears which. Raises ``UsageError`` naming the file that is damaged, and where
    kinds or sizes are mixed.
    """
    found = [(place, *_files(flag, place, loading)) for place in places]
    if not any(files for _, files, _ in found):
        return None
    for place, files, _ in found:
        if not files:
            raise UsageError(f"{flag} {place}: no idx or CIFAR file, but the other {flag} has some")
    files = [file for _, some, _ in found for file in some]
    parts = [read(file, labelled) for _, some, read in found for file in some]
    sizes = {images.shape[1:] for images, _, _ in parts}
    if len(sizes) > 1:
        listed = ", ".join(
            f"{file.name} {images.shape[2]}x{images.shape[1]}"
            for file, (images, _, _) in zip(files, parts, strict=True)
        )
        raise UsageError(f"{flag} {places[0]}: expected files of one image size, found {listed}")
    labels = [part for _, part, _ in parts if part is not None]
    return Stored(
        f"{flag} {', '.join(map(str, places))}",
        _joined([images for images, _, _ in parts]),
        _joined(labels) if len(labels) == len(parts) else None,
        parts[0][2],
    )


_Part = tuple[NDArray[np.uint8], NDArray[np.int64] | None, tuple[str, ...]]


def _files(flag: str, place: Path, loading: Loading) -> tuple[list[Path], Callable[[Path, bool], _Part]]:
    if archives.find(place) is not None:
        return [], _read_idx
    if os.path.isfile(place):  # noqa: PTH113 - False, and no error, where nobody may look
        if is_idx(place):
            return [place], _read_idx
        if _CIFAR.fullmatch(place.name):
            return [place], _read_cifar
        raise UsageError(f"{flag} {place}: expected a folder, an idx file as MNIST's, a CIFAR .bin file, or a .tar")
    try:
        names = sorted(entry.name for entry in os.scandir(place))
    except OSError:  # which is reported where the pictures are looked for
        return [], _read_idx
    read: Callable[[Path, bool], _Part] = _read_idx
    files = [place / name for name in names if _IDX.fullmatch(name) and (place / name).is_file()]
    if not files:
        files = [place / name for name in names if _CIFAR.fullmatch(name) and (place / name).is_file()]
        read = _read_cifar
        pickled = [name for name in names if _PICKLED.fullmatch(name) and (place / name).is_file()]
        if not files and pickled:
            raise UsageError(f"{flag} {place}: {pickled[0]} is CIFAR's pickled version; expected the binary one, *.bin")
    for_test = loading.like is not None
    wanted = [path for path in files if bool(_HELD_OUT.match(path.name)) == for_test]
    if wanted and len(wanted) < len(files):
        left = ", ".join(path.name for path in files if path not in wanted)
        others = "training" if for_test else "test"
        current().line(f"{flag} {place}: training files and test files; the {others} files are not used: {left}")
        files = wanted
    return files, read


def _read_idx(path: Path, labelled: bool) -> _Part:
    images = read_idx(path, IMAGES)
    beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    if not labelled or beside == path or not beside.is_file():
        return images[..., None], None, ()
    labels = read_idx(beside, LABELS)
    if len(labels) != len(images):
        raise UsageError(f"{beside}: {len(labels)} labels, but {path.name} has {len(images)} images")
    return images[..., None], labels.astype(np.int64), ()


def _read_cifar(path: Path, labelled: bool) -> _Part:
    """Records of one label (CIFAR-10) or a coarse and a fine one (CIFAR-100), then planes R, G and B of 32x32."""
    many = _CIFAR100.fullmatch(path.name) is not None
    record = _PIXELS + (2 if many else 1)
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    if not data.size or data.size % record:
        raise UsageError(f"{path}: expected a multiple of {record} bytes, found {data.size}")
    rows = data.reshape(-1, record)
    images = rows[:, -_PIXELS:].reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1)
    names = path.with_name("fine_label_names.txt" if many else "batches.meta.txt")
    return images, rows[:, -_PIXELS - 1].astype(np.int64), lines_of(names) if labelled else ()


def lines_of(path: Path) -> tuple[str, ...]:
    """The lines of a text file, empty ones left out; nothing where there is no such file."""
    return tuple(line.strip() for line in text_of(path).splitlines() if line.strip())


def text_of(path: Path) -> str:
    """What a text file holds, in a folder or an archive; nothing where there is no such file."""
    try:
        return archives.read_text(path) or ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as text: {error}") from None


def _joined(parts: Sequence[NDArray[Scalar]]) -> NDArray[Scalar]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
