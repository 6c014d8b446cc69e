"""``--val``: held-out data in a folder of its own, found by the layout of the training data, and never trained on."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from translate.console import current
from translate.contract import Dataset, DataSpec, Source
from translate.data.archives import is_folder, read_bytes
from translate.data.dataset import CutDataset
from translate.data.layouts import HELD_OUT, TRAINING
from translate.data.record import digest, files_below, paths_of
from translate.errors import UsageError
from translate.places import HubName, expanded, on_hub

TABLES = (".csv", ".tsv")
"""Suffixes of files that name pictures."""


def held_out_source(source: Source) -> Source:
    """The source with the paths of the held-out data that ``source.val`` names, in the place of the training data's.

    One folder of training data is replaced by ``val``. Of several, each is replaced by the folder in ``val`` that
    corresponds: with ``test`` where the training data's says ``train``, of the same name, or named as its flag. A table
    of pictures is expected at the same place below the folder; other files, such as names of classes, hold for both.
    Raises ``UsageError`` that says what was expected where.
    """
    val = source.val
    assert val is not None
    hub = on_hub(val)
    if hub is None and not any(is_folder(place) or place.exists() for place in expanded("--val", val)):
        raise UsageError(f"--val {val}: no such folder")
    names = [field.name for field in dataclasses.fields(source)]
    given = {name: paths for name in names if (paths := paths_of(source, name))}
    folders = {name: paths for name, paths in given.items() if any(map(_are_folders, paths))}
    if not folders:  # such as one idx file
        folders = dict(list(given.items())[:1])
    if hub is not None:
        places = {name: _of_hub(hub[0], paths[0]) for name, paths in folders.items()}
    else:
        places = dict.fromkeys(folders, val) if len(folders) == 1 else _corresponding(val, folders)
    for name, paths in given.items():
        if name not in folders and paths[0].suffix.lower() in TABLES:
            places[name] = _counterpart(val, name, paths[0], folders)
    many = {name: isinstance(getattr(source, name), tuple) for name in places}
    changed = {name: (place,) if many[name] else place for name, place in places.items()}
    return dataclasses.replace(source, val=None, **changed)


def _corresponding(val: Path, folders: Mapping[str, list[Path]]) -> dict[str, Path]:
    """The folders in ``val`` for the fields that name ``folders``."""
    absolute = {name: paths[0].absolute() for name, paths in folders.items()}
    common = Path(os.path.commonpath(list(absolute.values())))
    below = {name: path.relative_to(common) for name, path in absolute.items()}
    schemes = [
        *({name: _renamed(path, part) for name, path in below.items()} for part in HELD_OUT),
        below,
        *({name: Path(part + name.upper()) for name in folders} for part in HELD_OUT),
        {name: Path(name.upper()) for name in folders},
        {name: Path(name) for name in folders},
    ]
    for root in (val, *(val / part for part in HELD_OUT)):
        for scheme in schemes:
            found = {name: root / path for name, path in scheme.items()}
            apart = all(found[name].resolve() != path.resolve() for name, path in absolute.items())
            if apart and all(map(_are_folders, found.values())):
                return found
    ours = " and ".join(map(str, below.values()))
    named = ", or ".join(" and ".join(part + name.upper() for name in folders) for part in ("val", "test"))
    raise UsageError(f"--val {val}: expected folders that correspond to {ours}: of the same names, or {named}")


def _of_hub(val: HubName, training: Path) -> Path:
    """The data set ``val`` with the columns of the training data's, unless it names some."""
    named = on_hub(training)
    columns = val.columns or (named[0].columns if named else ())
    return Path(str(dataclasses.replace(val, columns=columns)))


def _are_folders(place: Path) -> bool:
    """Whether a folder, an archive or a pattern of them is there."""
    try:
        return all(map(is_folder, expanded("", place)))
    except UsageError:  # of what no pattern finds, and of a damaged archive, of which opening it says more
        return place.exists()


def _renamed(path: Path, part: str) -> Path:
    return Path(*(name.replace(TRAINING, part) for name in path.parts))


def _counterpart(val: Path, name: str, file: Path, folders: Mapping[str, list[Path]]) -> Path:
    """The held-out data's counterpart of a table that says something of the training pictures."""
    flag = f"--{name.replace('_', '-')}"
    for root in (path for paths in folders.values() for path in paths):
        if file.resolve().is_relative_to(root.resolve()):
            counterpart = val / file.resolve().relative_to(root.resolve())
            if counterpart.exists():
                return counterpart
            raise UsageError(f"--val {val}: {counterpart} is missing, which corresponds to {flag} {file}")
    raise UsageError(f"--val {val}: {flag} {file} lies in none of the training folders; expected it in one of them")


def check_alike(val: Path, training: DataSpec, held_out: DataSpec) -> None:
    """Raise ``UsageError`` where held-out data is not of the training data's kind."""
    for what in ("channels", "names", "scale", "indexed", "bits"):
        ours, theirs = (dataclasses.asdict(spec)[what] for spec in (training, held_out))
        if ours != theirs:
            raise UsageError(f"--val {val}: its {what} are {_short(theirs)}; those of the training data {_short(ours)}")


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def check_apart(val: Path, training: Sequence[Path], held_out: Sequence[Path]) -> None:
    """Raise ``UsageError`` where a file is in both sets. Copies of training files under other names are reported."""
    reached = {os.path.realpath(path): path for path in training}
    for path in held_out:
        if (same := reached.get(os.path.realpath(path))) is not None:
            raise UsageError(f"--val {val}: {path} is trained on, as {same}; expected files that are not")
    known = {digest(path): path for path in training}
    copies = [path for path in held_out if (same := known.get(digest(path))) and read_bytes(path) == read_bytes(same)]
    if copies:
        current().line(
            f"--val {val}: {len(copies)} of {len(held_out)} files are copies of files that are trained on, such as "
            f"{copies[0].name} of {known[digest(copies[0])].name}; figures of these say little"
        )


def files_of(dataset: Dataset, source: Source) -> Sequence[Path]:
    """The files that a data set is made of; where it does not list them, all that its source names."""
    if isinstance(dataset, CutDataset):
        return tuple(dict.fromkeys(path for pictures in dataset.pictures for path in pictures.paths))
    roots = [root for field in dataclasses.fields(source) for root in paths_of(source, field.name)]
    return [path for root in roots for place in expanded("", root) if is_folder(place) for path in files_below(place)]
