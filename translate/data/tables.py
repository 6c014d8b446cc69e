"""CSV files that describe the pictures in a folder, one row for each."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from translate.console import current
from translate.contract import Loading
from translate.data.listing import Folders
from translate.errors import UsageError, did_you_mean

_NAMED = 3
"""Files that a report names; it counts the others."""


@dataclass(frozen=True)
class Table:
    """The rows of a CSV file by the picture that their first column names; ``header``: names of the other columns."""

    path: Path
    header: tuple[str, ...]
    rows: Mapping[Path, Sequence[Sequence[str]]]

    def column(self, name: str, *, once: bool = False) -> dict[Path, list[str]]:
        """The values of the column of that name, or of the second column where none has it.

        ``once``: raise ``UsageError`` where a picture has several rows.
        """
        number = self.header.index(name) if name in self.header else 0
        for path, rows in self.rows.items():
            if once and len(rows) > 1:
                raise UsageError(f"{self.path}: {len(rows)} rows for {path.name}; expected one")
        return {path: [row[number] for row in rows] for path, rows in self.rows.items()}

    def number_of(self, name: str) -> int:
        """The place of a column. Raises ``UsageError`` where there is none of that name."""
        if name not in self.header:
            near = did_you_mean(name, list(self.header))
            raise UsageError(f"{self.path}: no column {name!r}; there are {', '.join(self.header)}{near}")
        return self.header.index(name)


def read_table(path: Path, folders: Folders) -> Table:
    """A CSV file, or TSV by its suffix, whose first column names files below ``folders``, with suffix or without.

    The first line is a header unless it names a file too. Raises ``UsageError`` naming the row whose file does not
    exist, or that has another number of columns than the first.
    """
    named = {folders.name(file): file for file in folders.files}
    stems = {PurePosixPath(name).with_suffix("").as_posix(): file for name, file in named.items()}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [row for row in csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",") if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: cannot be read as CSV: {error}") from None
    if not lines or len(lines[0]) < 2:
        raise UsageError(f"{path}: expected a file name and another column in each line")
    rows: dict[Path, list[list[str]]] = {}
    header: list[str] = []
    for number, row in enumerate(lines, start=1):
        name = unicodedata.normalize("NFC", row[0].strip().replace("\\", "/").removeprefix("./"))
        found = named.get(name) or stems.get(name)
        if found is None and number == 1:
            header = [word.strip() for word in row[1:]]
            continue
        if len(row) != len(lines[0]):
            raise UsageError(f"{path}, row {number}: expected {len(lines[0])} columns, found {len(row)}")
        if found is None:
            raise UsageError(f"{path}, row {number}: {row[0]} is not in {folders}")
        rows.setdefault(found, []).append([word.strip() for word in row[1:]])
    if not rows:
        raise UsageError(f"{path}: none of its rows names a file in {folders}")
    return Table(path, tuple(header), rows)


def only_known(folders: Folders, known: Collection[Path], where: str, loading: Loading) -> Folders:
    """The files in ``known``; reports the others, which are ``where``. With ``loading.strict`` these are refused."""
    alone = [path for path in folders.files if path not in known]
    if alone:
        if loading.strict:
            raise UsageError(f"{alone[0]}: {where} (--strict-data stops at the first such image)")
        listed = ", ".join(map(folders.name, alone[:_NAMED])) + (", ..." if len(alone) > _NAMED else "")
        current().line(f"{folders}: {len(alone)} of {len(folders.files)} images are left out, {where}: {listed}")
    return replace(folders, files=tuple(path for path in folders.files if path in known))
