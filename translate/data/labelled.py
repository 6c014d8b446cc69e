"""Images of which each belongs to a class, for conditional models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch

from translate.contract import Dataset, DataSpec, Loading
from translate.data.archives import find
from translate.data.arrays import Stored, find_stored, lines_of, text_of
from translate.data.augment import Augmented
from translate.data.example import MadeUp
from translate.data.images import Centre, Channels, ImageSet, open_folders, open_stored
from translate.data.layouts import wanted_part
from translate.data.listing import Folders, list_folders
from translate.data.pictures import Pictures
from translate.data.tables import only_known, read_table
from translate.errors import UsageError

_ORDER = "classes.txt"


@dataclass(frozen=True, kw_only=True)
class Labelled(Augmented):
    """Images with a label each: class folders, ``.cls`` files, MNIST's idx files, CIFAR's binary batches, a CSV file.

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
        stored = find_stored("--images", self.images, loading, labelled=True)
        if stored is not None:
            names, indices = self._of_stored(stored, loading)
            pictures, spec = open_stored(stored, self.channels, self.resize, loading, {"label": names})
        else:
            roots = wanted_part("--images", self.images, loading)
            folders = list_folders("--images", roots)
            labels = labels_of("label", folders, self.labels, loading)
            names = labels.names
            pictures, spec = open_folders(labels.folders, self.channels, self.resize, loading, {"label": names})
            indices = labels.indices(pictures, loading)
        return ImageSet(
            spec,
            pictures,
            more=lambda number, rng: {"label": torch.tensor(indices[number])},
            groups=groups_of(indices, len(names)) if self.balanced else (),
            flip=self.flip,
            augmentation=self.augmentation(spec, ("image",)),
        )

    @classmethod
    def example(cls, size: int) -> Dataset:
        return MadeUp(DataSpec(size, {"image": 3}, {"label": ("0", "1", "2")}))

    def _of_stored(self, stored: Stored, loading: Loading) -> tuple[tuple[str, ...], list[int]]:
        if self.labels is not None:
            raise UsageError(f"--labels {self.labels}: {stored.source} has labels of its own")
        if stored.labels is None:
            raise UsageError(f"{stored.source}: no labels beside the images; expected files *-labels-idx1-ubyte")
        labels: list[int] = stored.labels.tolist()
        names = stored.classes or tuple(map(str, range(max(labels) + 1)))
        if loading.like is not None:
            names = loading.like.names["label"]
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


@dataclass(frozen=True)
class Labels:
    """One name for each file of ``folders``, and all ``names`` in their order."""

    folders: Folders
    of_file: Mapping[Path, str]
    names: tuple[str, ...]

    def indices(self, pictures: Pictures, loading: Loading) -> list[int]:
        """The index of each picture's name. Raises ``UsageError`` for a name that no picture of a training set has."""
        index = {name: number for number, name in enumerate(self.names)}
        indices = [index[self.of_file[path]] for path in pictures.paths]
        if loading.like is not None:
            return indices
        if missing := sorted(set(range(len(self.names))) - set(indices)):
            raise UsageError(f"{self.folders}: {self.names[missing[0]]} has no readable image")
        return indices


def labels_of(what: str, folders: Folders, table: Path | None, loading: Loading) -> Labels:
    """The names of sub-folders, those in files ``.cls``, or in a CSV file; files without one are reported and left out.

    ``what``: under which key ``DataSpec.names`` has them. Held-out data may lack some of the training data's names.
    Raises ``UsageError`` where there are fewer than two names, or a name of held-out data is not known.
    """
    given = next((lines for place in _with_order(folders) if (lines := lines_of(place / _ORDER))), ())
    if table is None:
        found = {path: _label(path, folders) for path in folders.files}
        of_file = _named({path: name for path, name in found.items() if name}, given)
    else:
        read = read_table(table, folders)
        of_file = {path: name for path, (name,) in read.column("label", once=True).items()}
    where = f"no row in {table}" if table else "in no sub-folder and without a .cls beside them"
    folders = only_known(folders, of_file, where, loading)
    if loading.like is not None:
        known = loading.like.names[what]
        if unknown := sorted(set(of_file.values()) - set(known)):
            raise UsageError(f"{folders}: the training data has no {what} {unknown[0]}; it has {', '.join(known)}")
        return Labels(folders, of_file, known)
    names = in_order(set(of_file.values()), given)
    if len(names) < 2:
        only = f"one class, {names[0]}" if names else "no sub-folder"
        raise UsageError(
            f"{folders}: expected a sub-folder for each of two classes or more, or --labels FILE.csv; found {only}"
        )
    return Labels(folders, of_file, names)


def _with_order(folders: Folders) -> list[Path]:
    """Where the names of classes may be: in the folders, in the archives, and in the folders of these."""
    beside = dict.fromkeys(place.parent for place in folders.places if find(place) is not None)
    return [*folders.places, *beside]


def _label(path: Path, folders: Folders) -> str:
    """The label in a file ``.cls`` or by a sub-folder: in an archive, whose folders say little, in this order."""
    *inside, _ = folders.name(path).split("/")
    if inside and find(path) is None:
        return inside[0]
    return text_of(path.with_suffix(".cls")).strip() or (inside[0] if inside else "")


def _named(of_file: Mapping[Path, str], names: Sequence[str]) -> Mapping[Path, str]:
    """The labels with their names where they are places in ``names``, from 0 on, as those in ``.cls`` often are."""
    labels = set(of_file.values())
    if not labels <= {str(number) for number in range(len(names))} or labels <= set(names):
        return of_file
    return {path: names[int(label)] for path, label in of_file.items()}


def groups_of(indices: Sequence[int], count: int) -> list[list[int]]:
    """The numbers of the pictures that have each of ``count`` indices, for those that some picture has."""
    groups: list[list[int]] = [[] for _ in range(count)]
    for number, index in enumerate(indices):
        groups[index].append(number)
    return [group for group in groups if group]
