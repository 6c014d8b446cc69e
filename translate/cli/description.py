"""What ``gantk train MODEL`` shows and checks before it trains, kept from one start to the next.

To read a plugin's fields one has to import it, and with it torch, which takes seconds. So what was read is written to
a file, in the system's temporary folder as decoded pictures are, and holds as long as every file that it came from.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types as at

from translate.fields import REQUIRED, Field, Spelling, field_of
from translate.files import own_temporary_folder, write_text_whole
from translate.plugins import Plugin, source_file
from translate.settings import MayChange

MOST_FILES = 1000
"""A package of more files has more than code in it, and is imported anew each time."""
SETTLED = 2_000_000_000
"""Nanoseconds after which a file's time tells it from what it was before, on any file system."""
STARTED = time.time_ns()

TYPES = {"bool": bool, "int": int, "float": float, "str": str, "Path": Path, "None": NoneType, "...": Ellipsis}
FORMS: Mapping[str, Any] = {"Annotated": Annotated, "Literal": Literal, "Union": Union, "tuple": tuple}
NOTES: Mapping[str, Any] = {
    kind.__name__: kind for kind in (at.Gt, at.Ge, at.Lt, at.Le, at.MultipleOf, Spelling, MayChange)
}


@dataclass(frozen=True)
class Description:
    """The command line of one model."""

    title: str
    """What the model is, in the author's words."""
    heading: str
    """Of the model's own flags."""
    tables: Mapping[str, list[Field]]
    """The fields that a run has, by table of a config file."""


def kept(plugin: Plugin) -> Description | None:
    """The description of a plugin whose files are as they were; None where there is none, or it is damaged."""
    try:
        content = json.loads(_file(plugin).read_bytes())
        if content["key"] != _key(plugin) or any(_stamp(path) != stamp for path, stamp in content["stamps"].items()):
            return None
        return _unpacked(content["description"])
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None


def keep(plugin: Plugin, description: Description) -> None:
    """Keep the description of a plugin that this process has imported, if it can be written and read back exactly."""
    with suppress(OSError, ValueError, TypeError, LookupError):
        content = {"key": _key(plugin), "stamps": _stamps(plugin), "description": _packed(description)}
        text = json.dumps(content)
        if _unpacked(json.loads(text)["description"]) == description:
            file = _file(plugin)
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_text_whole(file, text)


def _file(plugin: Plugin) -> Path:
    digest = hashlib.sha256("\n".join((sys.prefix, plugin.qualified)).encode(errors="surrogateescape"))
    return own_temporary_folder("gantk-descriptions") / f"{digest.hexdigest()[:24]}.json"


def _key(plugin: Plugin) -> list[Any]:
    """What decides which files are imported."""
    return [*dataclasses.astuple(plugin), sys.version, sys.path, str(source_file(plugin.module))]


def _stamps(plugin: Plugin) -> dict[str, list[int]]:
    """Size and time of each file that may have had a part in the description.

    Raises ``ValueError`` where that cannot be known, and where one is so new that a change might not show.
    """
    stamps = {path: _stamp(path) for path in {*_modules(), *_package(plugin)}}
    if max(time for _, time in stamps.values()) > STARTED - SETTLED:
        raise ValueError("changed just now")
    return stamps


def _modules() -> Iterator[str]:
    """The files of all modules that are imported: annotations and defaults may come from any of them."""
    for module in list(sys.modules.values()):
        spec: Any = getattr(module, "__spec__", None)
        if getattr(spec, "has_location", False):
            yield spec.origin


def _package(plugin: Plugin) -> Iterator[str]:
    """The files and folders of the plugin's package, which may read them when it is imported."""
    found = 0
    for root in getattr(sys.modules[plugin.module.partition(".")[0]], "__path__", ()):
        for folder, folders, files in os.walk(root):
            folders[:] = [name for name in folders if name != "__pycache__"]
            found += len(files)
            if found > MOST_FILES:
                raise ValueError(f"more than {MOST_FILES} files")
            yield folder
            yield from (os.path.join(folder, name) for name in files)  # noqa: PTH118 - keys of a file, as text


def _stamp(path: str) -> list[int]:
    status = os.stat(path)  # noqa: PTH116 - thousands of files
    return [status.st_size, status.st_mtime_ns]


def _packed(description: Description) -> list[Any]:
    """As JSON has it. Raises ``TypeError`` for a type, a constraint or a default that has no form there."""
    tables = {
        table: [
            [
                field.name,
                _packed_type(field.annotation),
                *([] if field.default is REQUIRED else [_packed_value(field.default)]),
            ]
            for field in fields
        ]
        for table, fields in description.tables.items()
    }
    return [description.title, description.heading, tables]


def _unpacked(packed: Any) -> Description:
    title, heading, tables = packed
    fields = {
        table: [
            field_of(
                table, name, _unpacked_type(annotation), *(map(_unpacked_value, default) if default else [REQUIRED])
            )
            for name, annotation, *default in rows
        ]
        for table, rows in tables.items()
    }
    return Description(title, heading, fields)


def _packed_type(annotation: Any) -> Any:
    for name, kind in TYPES.items():
        if annotation is kind:
            return name
    origin = Union if get_origin(annotation) is UnionType else get_origin(annotation)
    form = next((name for name, kind in FORMS.items() if origin is kind), None)
    first, *others = get_args(annotation)
    match form:
        case "Annotated":
            return [form, _packed_type(first), *map(_packed_note, others)]
        case "Literal":
            return [form, *map(_packed_value, (first, *others))]
        case "Union" | "tuple":
            return [form, *map(_packed_type, (first, *others))]
    raise TypeError(f"{annotation!r} has no form in JSON")


def _unpacked_type(packed: Any) -> Any:
    if isinstance(packed, str):
        return TYPES[packed]
    form, first, *others = packed
    match form:
        case "Annotated":
            parts = (_unpacked_type(first), *map(_unpacked_note, others))
        case "Literal":
            parts = (first, *others)
        case _:
            parts = tuple(map(_unpacked_type, (first, *others)))
    return FORMS[form][parts]


def _packed_note(note: Any) -> Any:
    if type(note) is str:
        return note
    name = type(note).__name__
    if NOTES.get(name) is not type(note):
        raise TypeError(f"{note!r} has no form in JSON")
    return [name, dataclasses.asdict(note)]


def _unpacked_note(packed: Any) -> Any:
    if isinstance(packed, str):
        return packed
    name, values = packed
    return NOTES[name](**values)


def _packed_value(value: Any) -> Any:
    match value:
        case Path():
            return ["Path", str(value)]
        case tuple():
            return ["tuple", *map(_packed_value, value)]
    if type(value) not in (NoneType, bool, int, float, str):
        raise TypeError(f"{value!r} has no form in JSON")
    return value


def _unpacked_value(packed: Any) -> Any:
    match packed:
        case ["Path", text]:
            return Path(text)
        case ["tuple", *values]:
            return tuple(map(_unpacked_value, values))
    return packed
