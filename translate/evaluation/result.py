"""What an evaluation found, as it is kept beside the model, and whether two of them may be compared."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from translate.errors import UsageError, one_line
from translate.files import remove_leftovers, write_text_whole
from translate.modelfile.header import FILE_NAME

EVALUATION = "evaluation.json"
FORMAT = 1

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Figure:
    """One number with its 95 % interval. ``each``: its values by picture, where it is a mean over pictures.

    ``how``: what it was computed with, where that is not in the setting of the whole; only figures of one ``how`` are
    comparable. ``detail``: what else was found. ``published``: whether published numbers are comparable with it, as far
    as the network and its weights decide that.
    """

    name: str
    value: float
    low: float
    high: float
    better: Better
    unit: str = ""
    how: str = ""
    detail: str = ""
    published: bool = True
    each: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Result:
    """The figures of one model on one set of pictures.

    ``setting``: all that must be equal for two results to be comparable, apart from the model. ``protocol``: the name
    of the published way of measuring, or None. ``notes``: what a reader of the figures must know.
    """

    model: Mapping[str, Any]
    setting: Mapping[str, Any]
    figures: tuple[Figure, ...]
    protocol: str | None = None
    notes: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT

    def __getitem__(self, name: str) -> Figure:
        """The figure of that name."""
        for figure in self.figures:
            if figure.name == name:
                return figure
        raise KeyError(f"no figure {name!r}; there are {', '.join(figure.name for figure in self.figures)}")

    @property
    def label(self) -> str:
        """The model in one word, for tables."""
        return str(self.model.get("path") or self.model.get("pictures"))

    def rows(self) -> list[dict[str, Any]]:
        """One row for each figure, for a table."""
        return [
            {
                "figure": figure.name,
                "value": f"{figure.value:.5g}{' ' * bool(figure.unit)}{figure.unit}",
                "95 % interval": f"{figure.low:.4g} to {figure.high:.4g}",
                "better": figure.better,
                "published": "comparable" if figure.published else "not comparable",
            }
            for figure in self.figures
        ]

    def to_json(self) -> dict[str, Any]:
        """As it is written."""
        return dataclasses.asdict(self)


def place(model: Path) -> Path:
    """Where the results of a model file are kept: ``evaluation.json`` of its run folder, or beside the file."""
    return model.with_name(EVALUATION if model.name == FILE_NAME else f"{model.stem}.{EVALUATION}")


def keep(path: Path, result: Result) -> None:
    """Add a result to a file of them, in place of one of the same model, setting and figures."""
    remove_leftovers(path.parent)
    kept = [old for old in (read(path) if path.exists() else []) if _identity(old) != _identity(result)]
    write(path, [*kept, result])


def write(path: Path, results: Sequence[Result]) -> None:
    """Write a file of results, whole or not at all."""
    content = {"results": [each.to_json() for each in results]}
    write_text_whole(path, json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read(path: Path) -> list[Result]:
    """The results of a file, the latest last. Raises ``UsageError`` for a file that holds none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return TypeAdapter(list[Result]).validate_python(content["results"])
    except ValidationError as error:
        raise UsageError(f"{path}: not a file of results of this gantk ({one_line(error, 120)})") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: not a readable file of results ({one_line(error, 120)})") from None


def of_these_weights(model: Path) -> list[Result]:
    """The results kept beside a model file that were found for what it holds now."""
    file = place(model)
    if not file.is_file():
        return []
    digest = checksum(model)
    return [result for result in read(file) if result.model.get("sha256") == digest]


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _identity(result: Result) -> tuple[Any, ...]:
    return result.model, result.setting, [figure.name for figure in result.figures]


def differences(results: Sequence[Result]) -> Iterator[str]:
    """What of the settings differs between results, in words; nothing where they are comparable."""
    first = results[0]
    for other in results[1:]:
        for key in sorted({*first.setting, *other.setting}):
            ours, theirs = first.setting.get(key), other.setting.get(key)
            if ours != theirs:
                yield f"{key} is {ours} for {first.label} and {theirs} for {other.label}"
