"""Fields of dataclasses as config files, and back as checked dataclasses.

Flags go over ``--config`` files, these over the model's recipe and the dataclasses' defaults.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from translate.errors import UsageError, did_you_mean, one_line
from translate.fields import NONE, REQUIRED, TABLES, Field, cut, map_paths, shown
from translate.places import absolute

if TYPE_CHECKING:
    from translate.contract import Source, TaskModel
    from translate.settings import Run

T = TypeVar("T")

RIVALS = (("steps", "epochs"), ("ema_images", "ema"))
"""Pairs of settings of ``[run]`` that state the same thing in two ways; where the first is not none, it holds."""

LARGEST_FILE = 4 << 20
"""Bytes of a config file; one that was written by hand or by us has a few thousand."""
DEEPEST = 64
"""Most parts of a dotted key."""
Layer = Mapping[str, Mapping[str, Any]]
"""Checked values by table and field name, from one place: a config file, or the command line."""


_PART = r"""(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')"""
_DEEP_KEY = re.compile(rf"(?:^|[\[{{,])[ \t]*+(?:{_PART}[ \t]*+\.[ \t]*+){{{DEEPEST}}}", re.MULTILINE)


def build(cls: type[T], fields: Iterable[Field], values: Mapping[str, Any], origin: str) -> T:
    """The dataclass from checked values over the defaults.

    Raises ``UsageError`` for a required field without a value, and for what the class's own checks find.
    """
    try:
        return cls(**complete(fields, values))
    except (ValueError, TypeError) as error:
        raise UsageError(f"{origin}: {' '.join(str(error).split())}") from error


def complete(fields: Iterable[Field], values: Mapping[str, Any]) -> dict[str, Any]:
    """The value of every field, by name, from checked values over the defaults.

    Raises ``UsageError`` for a required field without a value.
    """
    arguments = {}
    for field in fields:
        value = values.get(field.name, field.default)
        if value is REQUIRED:
            raise UsageError(f"{field.flag} is missing: {field.help or field.expected}")
        arguments[field.name] = value
    return arguments


def read_config(path: Path, fields: Mapping[str, list[Field]], plugin: str, flag: str = "") -> Layer:
    """The checked values of a config file: top-level ``plugin`` (optional), tables ``[data]``, ``[model]``, ``[run]``.

    Raises ``UsageError`` naming the file and the key: unknown keys and tables, wrong types, another plugin.
    """
    content = load_toml(path, flag)
    named = content.pop("plugin", plugin)
    if named != plugin:
        raise UsageError(f"{path}: plugin = {shown(named)}, but the command trains {plugin!r}")
    layer: dict[str, dict[str, Any]] = {}
    for table, keys in content.items():
        if table not in fields:
            near = did_you_mean(table, [*fields, "plugin"]) or _right_table(table, fields)
            raise UsageError(f"{path}: unknown {'table' if isinstance(keys, dict) else 'key'} {cut(table)!r}{near}")
        if not isinstance(keys, dict):
            raise UsageError(f"{path}: {table} = {shown(keys)}: expected a table, [{table}]")
        known = {field.name: field for field in fields[table]}
        layer[table] = {}
        for key, value in keys.items():
            if key not in known:
                near = did_you_mean(key, list(known)) or _right_table(key, fields)
                raise UsageError(f"{path}: unknown key {cut(key)!r} in [{table}]{near}")
            layer[table][key] = known[key].from_config(value, f"{path}: {table}.{key}")
    _refuse_rivals(layer, lambda name: f"run.{name}", f"{path}: ")
    return layer


def read_overlays(paths: Iterable[Path], fields: Mapping[str, list[Field]], plugin: str) -> list[Layer]:
    """The checked values of each ``--config`` file, which is read once: it may be a pipe."""
    return [read_config(path, fields, plugin, "--config") for path in paths]


def load_toml(path: Path, flag: str = "") -> dict[str, Any]:
    """The file's tables. Raises ``UsageError`` for what cannot be read, and for what only a mistake would hold.

    ``flag``: by which the user named the file.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise UsageError(f"{flag} {path}: cannot be read ({error.strerror})".strip()) from None
    if len(content) > LARGEST_FILE:
        raise UsageError(f"{path}: larger than {LARGEST_FILE >> 20} MiB; expected a config file")
    try:
        text = content.decode("utf-8-sig")  # some editors begin a file with a mark of its encoding
        if _DEEP_KEY.search(text):  # which tomllib reads in quadratic time
            raise ValueError(f"a key of more than {DEEPEST} parts")
        return tomllib.loads(text)
    except RecursionError:
        raise UsageError(f"{path}: not valid TOML (nested too deeply)") from None
    except ValueError as error:  # also for numbers of more digits than Python converts
        raise UsageError(f"{path}: not valid TOML ({one_line(error)})") from None


def _right_table(key: str, fields: Mapping[str, list[Field]]) -> str:
    tables = [table for table in fields if any(field.name == key for field in fields[table])]
    return f" (it belongs in [{tables[0]}])" if tables else ""


def _refuse_rivals(layer: Layer, spelled: Callable[[str], str], where: str = "") -> None:
    given = layer.get("run", {})
    for first, other in RIVALS:
        if given.keys() >= {first, other} and given[first] is not None:
            raise UsageError(f"{where}{spelled(first)} and {spelled(other)} exclude each other; give one")


def merge(layers: Iterable[Layer]) -> dict[str, dict[str, Any]]:
    """The layers over each other, the later ones on top. What one layer states replaces its rival of those below."""
    merged: dict[str, dict[str, Any]] = {table: {} for table in TABLES}
    for layer in layers:
        _refuse_rivals(layer, lambda name: "--" + name.replace("_", "-"))
        for table, values in layer.items():
            merged[table].update(values)
        for first, other in RIVALS:
            if layer.get("run", {}).keys() & {first, other} == {other}:
                merged["run"][first] = None
    return merged


def resolved_toml(plugin: str, source: Source, task: TaskModel, run: Run) -> str:
    """The config file that asks for exactly this run, from any folder: every key is stated, paths are absolute."""
    settings = _values(run)
    for first, other in RIVALS:  # a config may not give both
        settings.pop(other if settings[first] is not None else first)
    tables = {"data": _values(source), "model": _values(task), "run": settings}
    return to_toml({"plugin": plugin, **map_paths(tables, absolute)})


def _values(instance: Any) -> dict[str, Any]:
    return {field.name: getattr(instance, field.name) for field in dataclasses.fields(instance) if field.init}


def to_toml(content: Mapping[str, Any]) -> str:
    """TOML text of scalars, strings, paths, sequences and nested mappings; ``None`` becomes ``"none"``."""
    lines = [f"{_key(key)} = {_toml(value)}\n" for key, value in content.items() if not isinstance(value, Mapping)]
    for name, table in content.items():
        if isinstance(table, Mapping):
            lines.append(f"\n[{_key(name)}]\n")
            lines.extend(f"{_key(key)} = {_toml(value)}\n" for key, value in table.items())
    return "".join(lines)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _string(name)


def _toml(value: Any) -> str:
    match value:
        case None:
            return _string(NONE)
        case bool():
            return "true" if value else "false"
        case int():
            return str(int(value))
        case float():
            return repr(float(value))
        case str() | Path():
            return _string(str(value))
        case Mapping():
            return "{" + ", ".join(f"{_key(str(key))} = {_toml(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(_toml, value)) + "]"
    raise TypeError(f"{value!r} has no form in TOML")


def _string(text: str) -> str:
    # TOML is Unicode; a path that is not cannot be written down.
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{text!r} is not valid Unicode and cannot be written to a config file") from None
    escapes = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
    body = "".join(escapes.get(c) or (f"\\u{ord(c):04x}" if ord(c) < 32 or ord(c) == 127 else c) for c in text)
    return f'"{body}"'
