"""Images of which each belongs to a class, for conditional models."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from translate.contract import Dataset, DataSpec, Loading
from translate.data.arrays import Stored, find_stored, lines_of
from translate.data.augment import Augmented
from translate.data.example import MadeUp
from translate.data.images import Centre, Channels, ImageSet, open_folders, open_stored
from translate.data.layouts import training_part
from translate.data.listing import Folders, list_folders
from translate.errors import UsageError

_ORDER = "classes.txt"
_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Labelled(Augmented):
    """Images with a label each: class folders, MNIST's idx files, CIFAR's binary batches, or a CSV file.

    The batch has ``x.image`` and ``x.label``, int64 (N,), an index into the class names ``spec.names["label"]``. These
    are in the order of ``classes.txt`` in the folder, if there is one, and else sorted, numbers by their value.
    """

    images: Annotated[
        tuple[Path, ...],
        "folder with a sub-folder for each class, or of idx or CIFAR files, or of what --labels names",
    ]
    labels: Annotated[Path | None, "CSV file of two columns, file (below --images) and label"] = None
    channels: Channels = None
    resize: Centre = "scale"
    flip: Annotated[bool, "mirror half of the images"] = False
    balanced: Annotated[bool, "draw each class equally often, however many images it has"] = False

    def open(self, loading: Loading) -> Dataset:
        """Raises ``UsageError`` where there are fewer than two classes, or a class has no readable image."""
        self.check_augment(loading)
        stored = find_stored("--images", self.images, loading.tell, labelled=True)
        if stored is not None:
            names, labels = self._of_stored(stored)
            pictures, channels = open_stored(stored, self.channels, self.resize, loading, {"label": names})
        else:
            roots = training_part("--images", self.images, loading.tell)
            folders = list_folders("--images", roots, loading.tell)
            of_file = _from_csv(self.labels, folders) if self.labels else _from_folders(folders, loading)
            folders = _only_labelled(folders, of_file, loading, self.labels)
            names = in_order(set(of_file.values()), _order_in(roots))
            _check_enough(folders, names)
            pictures, channels = open_folders(folders, self.channels, self.resize, loading, {"label": names})
            labels = [names.index(of_file[path]) for path in pictures.paths]
        drawn = set(labels)
        if missing := [name for number, name in enumerate(names) if number not in drawn]:
            raise UsageError(f"--images {self.images[0]}: class {missing[0]} has no readable image")
        spec = DataSpec(loading.size, {"image": channels}, {"label": names})
        return ImageSet(
            spec,
            pictures,
            indices={"label": labels},
            balanced="label" if self.balanced else "",
            flip=self.flip,
            augmentation=self.augmentation(spec, ("image",)),
        )

    @classmethod
    def example(cls, size: int) -> Dataset:
        return MadeUp(DataSpec(size, {"image": 3}, {"label": ("0", "1", "2")}))

    def _of_stored(self, stored: Stored) -> tuple[tuple[str, ...], list[int]]:
        if self.labels is not None:
            raise UsageError(f"--labels {self.labels}: {stored.source} has labels of its own")
        if stored.labels is None:
            raise UsageError(f"{stored.source}: no labels beside the images; expected files *-labels-idx1-ubyte")
        labels: list[int] = stored.labels.tolist()
        names = stored.classes or tuple(map(str, range(max(labels) + 1)))
        if max(labels) >= len(names):
            raise UsageError(f"{stored.source}: label {max(labels)}, but there are names for {len(names)} classes")
        return names, labels


def in_order(names: set[str], given: Sequence[str] = ()) -> tuple[str, ...]:
    """Class names as ``given``, or else sorted, numbers by their value; ``UsageError`` where some are missing."""
    if given:
        if unknown := sorted(names - set(given)):
            raise UsageError(f"{_ORDER}: {unknown[0]} is missing; expected the name of every class, one a line")
        return tuple(name for name in given if name in names)
    return tuple(sorted(names, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)))


def read_rows(path: Path, folders: Folders) -> tuple[list[str], dict[Path, list[str]]]:
    """The header of a CSV file (TSV by its suffix) whose first column names files below ``folders``, and the other
    columns by file. The header is empty where the first line names a file too.

    Raises ``UsageError`` naming the line that has no such file, or another number of columns than the first.
    """
    by_name = {folders.name(file): file for file in folders.files}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",") if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: cannot be read as CSV: {error}") from None
    if not rows or len(rows[0]) < 2:
        raise UsageError(f"{path}: expected a file name and another column in each line")
    found: dict[Path, list[str]] = {}
    header: list[str] = []
    for number, row in enumerate(rows, start=1):
        name = unicodedata.normalize("NFC", row[0].strip().replace("\\", "/").removeprefix("./"))
        if name not in by_name and number == 1:
            header = [word.strip() for word in row]
            continue
        if len(row) != len(rows[0]):
            raise UsageError(f"{path}, row {number}: expected {len(rows[0])} columns, found {len(row)}")
        if name not in by_name:
            raise UsageError(f"{path}, row {number}: {row[0]} is not in {folders}")
        found[by_name[name]] = [word.strip() for word in row[1:]]
    if not found:
        raise UsageError(f"{path}: none of its rows names a file in {folders}")
    return header, found


def _from_csv(path: Path, folders: Folders) -> dict[Path, str]:
    header, rows = read_rows(path, folders)
    column = header[1:].index("label") if "label" in header[1:] else 0
    return {file: row[column] for file, row in rows.items()}


def _from_folders(folders: Folders, loading: Loading) -> dict[Path, str]:
    named = {path: folders.name(path).split("/") for path in folders.files}
    return {path: parts[0] for path, parts in named.items() if len(parts) > 1}


def _only_labelled(folders: Folders, of_file: Mapping[Path, str], loading: Loading, labels: Path | None) -> Folders:
    """The files that have a label; reports the others."""
    alone = [path for path in folders.files if path not in of_file]
    if alone:
        where = f"no row in {labels}" if labels else "lie in no class folder"
        if loading.strict:
            raise UsageError(f"{alone[0]}: no label: {where} (--strict-data stops at the first such image)")
        listed = ", ".join(map(folders.name, alone[:_NAMED])) + (", ..." if len(alone) > _NAMED else "")
        loading.tell(f"{folders}: {len(alone)} of {len(folders.files)} images are left out, {where}: {listed}")
    return replace(folders, files=tuple(path for path in folders.files if path in of_file))


def _order_in(roots: Sequence[Path]) -> Sequence[str]:
    return next((names for root in roots if (names := lines_of(root / _ORDER))), ())


def _check_enough(folders: Folders, names: Sequence[str]) -> None:
    if len(names) < 2:
        found = f"one class, {names[0]}" if names else "no sub-folder"
        raise UsageError(
            f"{folders}: expected a sub-folder for each of two classes or more, or --labels FILE.csv; found {found}"
        )
