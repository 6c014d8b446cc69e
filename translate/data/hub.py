"""Data sets of the Hugging Face hub, or copies of them, as folders: a picture, a label and a caption for each row.

Opened by the library ``datasets`` (extra ``gantk[datasets]``), which maps them into memory, so that a row is read at
any place. What is asked of the hub, and whether it is asked at all, is up to that library: ``HF_HUB_OFFLINE``, its
cache.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

from translate.console import current
from translate.errors import UsageError, did_you_mean, one_line
from translate.places import HubName

_ROW = re.compile(r"(\d{8,})(\.cls|\.txt|)")
_CLASSES = "classes.txt"
_HEAD = 4096
"""Bytes of each file of the library's that distinguish it from another of the same size."""
_CAPTIONS = ("text", "caption", "captions")
"""Columns of captions, where none is named."""


@dataclass(frozen=True)
class Hub(Collection[str]):
    """An opened split; see ``translate.data.archives.Archive``. As a collection, the names of its pictures.

    ``pictures``: of the library, one column whose pictures are not decoded. ``texts``: what the files beside each row's
    picture hold, by their suffix; None where the row has none.
    """

    pictures: Any
    column: str
    classes: tuple[str, ...]
    texts: Mapping[str, Sequence[str | None]]

    @property
    def names(self) -> Collection[str]:
        return self

    @property
    def left_out(self) -> Counter[str]:
        return Counter()

    def __len__(self) -> int:
        return len(self.pictures)

    def __iter__(self) -> Iterator[str]:
        return (f"{number:08}" for number in range(len(self)))

    def __contains__(self, name: object) -> bool:
        if name == _CLASSES:
            return bool(self.classes)
        number, suffix = _row(str(name))
        if not 0 <= number < len(self):
            return False
        return not suffix or (suffix in self.texts and self.texts[suffix][number] is not None)

    def open(self, name: str) -> BinaryIO:
        if name == _CLASSES:
            return io.BytesIO("\n".join(self.classes).encode())
        number, suffix = _row(name)
        if suffix:
            return io.BytesIO((self.texts[suffix][number] or "").encode())
        picture = self.pictures[number][self.column] or {}
        # Rows of a folder of pictures name files; no others than regular ones, as reading them might never end.
        if picture.get("bytes") is None and (path := Path(picture.get("path") or "")).is_file():
            return path.open("rb")
        return io.BytesIO(picture.get("bytes") or b"")

    def status(self, name: str) -> tuple[int, int]:
        return self._status

    @cached_property
    def _status(self) -> tuple[int, int]:
        found = [path.stat() for path in self._files]
        return sum(each.st_size for each in found) or len(self), max((each.st_mtime_ns for each in found), default=0)

    def digest(self, names: Iterable[str]) -> str:
        known = hashlib.blake2b(f"{len(self)} {self.pictures.features} {self.classes}".encode(), digest_size=8)
        for path in self._files:
            with path.open("rb") as file:
                known.update(file.read(_HEAD) + file.seek(0, os.SEEK_END).to_bytes(8, "little"))
        return known.hexdigest()

    @property
    def _files(self) -> list[Path]:
        """Where the library has put the rows."""
        return [Path(file["filename"]) for file in self.pictures.cache_files]


def _row(name: str) -> tuple[int, str]:
    """The number of the row that a file belongs to, and the file's suffix; -1 where it belongs to none."""
    match = _ROW.fullmatch(name)
    return (int(match[1]), match[2]) if match else (-1, "")


@cache
def open_hub(place: HubName) -> Hub:
    """The split of a data set, downloaded where it is one of the hub's and not in the library's cache.

    Raises ``UsageError`` on one line for a missing extra, for a name, split or column that does not exist, and for all
    that the library raises.
    """
    try:
        import datasets
    except ImportError:
        raise UsageError(f"{place}: datasets is not installed; expected pip install 'gantk[datasets]'") from None
    datasets.disable_progress_bars()
    try:
        rows = _split(datasets, place)
    except UsageError:
        raise
    except Exception as error:  # of the library, of those below it, of the network
        raise UsageError(f"{place}: cannot be opened ({one_line(error)})") from None
    return _as_files(datasets, place, rows)


def _split(datasets: ModuleType, place: HubName) -> Any:
    copy = place.copy
    if copy is None:
        current().line(f"{place}: opening the data set {place.name}, from the hub unless there is a copy in the cache")
        return datasets.load_dataset(place.name, split=place.split)
    if (copy / "dataset_dict.json").is_file():
        splits = datasets.load_from_disk(copy)
    elif (copy / "state.json").is_file():
        rows = datasets.load_from_disk(copy)
        splits = {str(rows.split or place.split): rows}
    elif copy.suffix == ".parquet":
        splits = datasets.load_dataset("parquet", data_files=str(copy))
    else:
        splits = datasets.load_dataset(str(copy))
    if place.split not in splits:
        raise UsageError(f"{place}: no split {place.split!r}; there are {', '.join(splits)}")
    return splits[place.split]


def _as_files(datasets: ModuleType, place: HubName, rows: Any) -> Hub:
    features = rows.features
    for name in place.columns:
        if name not in features:
            near = did_you_mean(name, features)
            raise UsageError(f"{place}: no column {name!r}; there are {', '.join(features)}{near}")
    pictures = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
    chosen = [name for name in place.columns if name in pictures] or pictures
    if len(chosen) != 1:
        found = f"found {', '.join(chosen)}; expected {place}:{chosen[0]}, say" if chosen else "there is none"
        raise UsageError(f"{place}: expected one column of pictures, {found}")
    texts: dict[str, Sequence[str | None]] = {}
    classes: tuple[str, ...] = ()
    labels = [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    if label := _one(place, labels, ("label",) if len(labels) > 1 else labels):
        classes = tuple(features[label].names)
        texts[".cls"] = [classes[index] if index is not None and index >= 0 else None for index in rows[label]]
    written = [name for name, kind in features.items() if getattr(_item(kind), "dtype", "") == "string"]
    if caption := _one(place, written, _CAPTIONS):
        texts[".txt"] = [each if each is None or isinstance(each, str) else "\n".join(each) for each in rows[caption]]
    column = chosen[0]
    undecoded = rows.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    return Hub(undecoded, column, classes, texts)


def _item(kind: Any) -> Any:
    """The type of a column, or of the items in its lists."""
    return getattr(kind, "feature", kind)


def _one(place: HubName, columns: Sequence[str], usual: Collection[str]) -> str | None:
    """Of the columns of a kind, the one that was named, or else the first of a usual name."""
    named = [name for name in columns if name in place.columns]
    if len(named) > 1:
        raise UsageError(f"{place}: {named[0]} and {named[1]} are of one kind; expected one of them")
    return next(iter(named or [name for name in columns if name in usual]), None)
