"""Dataclass fields as the user meets them: their names, types, limits, defaults and help.

A field is written ``Annotated[type, "help text", constraints...]``. The types are bool, int, float, str, Path, Literal,
each of them ``| None``, tuples of fixed length (so many values after the flag) and ``tuple[X, ...]`` (the flag may be
repeated). ``None`` is written ``none``. A field of another type that JSON can express is a config key without a flag.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import sys
import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import annotated_types as at

from translate.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from pydantic import TypeAdapter

    from translate.contract import TaskModel

REQUIRED = dataclasses.MISSING
NONE = "none"

LARGEST = 2**63 - 1
"""No whole number is larger; what reads it (a tensor, a clock, a file) has 64 bits."""

TABLES = ("data", "model", "run")
"""The tables of a config file."""

TRAIN_FLAGS = frozenset(
    {
        "--out",
        "--config",
        "--nproc",
        "--max-restarts",
        "--resume",
        "--take-over",
        "--dry-run",
        "--tensorboard",
        "--tracker",
    }
)
"""What ``gantk train`` takes besides the fields of source, model and run."""

EVERYWHERE = frozenset({"--help", "--quiet", "--json", "--debug", "--no-plugins", "--version"})
"""Flags that any command may carry."""

Shape = Literal["one", "fixed", "many", "config"]


@dataclass(frozen=True)
class Spelling:
    """How a command line spells a field, where that is not ``--name``; a note in its ``Annotated``."""

    flag: str = ""
    short: str = ""
    positional: bool = False
    metavar: str = ""
    panel: str = ""
    """The help's heading, where it is not the command's own."""


@dataclass(frozen=True)
class Field:
    """One dataclass field as a flag (``--cache-budget``) and a config key (``cache_budget`` in ``[run]``)."""

    table: str
    name: str
    annotation: Any
    default: Any
    help: str
    optional: bool
    shape: Shape
    items: tuple[Any, ...]
    """The types of the values: one, or one per place of a tuple."""
    spelling: Spelling = Spelling()

    @property
    def flag(self) -> str:
        """The flag on the command line, or the placeholder of a positional argument."""
        if self.spelling.positional:
            return self.metavar
        return self.spelling.flag or "--" + self.name.replace("_", "-")

    @property
    def switch(self) -> bool:
        """Whether it is a flag without a value."""
        return self.shape == "one" and bare_type(self.items[0]) is bool

    @property
    def is_path(self) -> bool:
        """Whether its values are paths: where files lie."""
        return any(bare_type(item) is Path for item in self.items)

    @property
    def flags(self) -> tuple[str, ...]:
        """All the flags it takes up."""
        if self.shape == "config" or self.spelling.positional:
            return ()
        # Only what a config file or the default may have switched on needs a flag that switches it off.
        negated = self.switch and (self.table in TABLES or self.default is True)
        return (self.flag, "--no-" + self.flag[2:]) if negated else (self.flag,)

    @property
    def expected(self) -> str:
        """What a value must be, in words."""
        if self.shape == "config":
            words = _described(self.annotation)
        elif self.shape == "fixed":
            words = f"{len(self.items)} values ({', '.join(map(_words, self.items))})"
        elif self.shape == "many":
            words = f"a list, each {_words(self.items[0])}"
        else:
            words = _words(self.items[0], self.annotation)
        return f"{words}, or {NONE}" if self.optional else words

    @property
    def metavar(self) -> str:
        """The placeholder of the value in the help."""
        if self.spelling.metavar:
            return self.spelling.metavar
        if self.shape == "fixed":
            return " ".join(map(_metavar, self.items))
        return _metavar(self.items[0])

    def adapter(self) -> TypeAdapter[Any]:
        """The check of types and constraints."""
        from pydantic import TypeAdapter

        return TypeAdapter(self.annotation)

    def from_words(self, given: Any) -> Any:
        """The value of a flag's word or words. Raises ``UsageError`` naming the flag."""
        if self.optional and given == NONE:
            return None
        try:
            self._check_paths(given)
            return _sensible(self.adapter().validate_python(self._literal(given)))
        except ValueError as error:
            words = cut(" ".join(map(str, given)) if isinstance(given, (list, tuple)) else given) or '""'
            raise UsageError(f"{self.flag} {words}: expected {self.expected}{self._also(error)}") from None

    def from_config(self, given: Any, where: str) -> Any:
        """The value of a config key. Types are strict: ``"300"`` is no number. ``where`` names file and key."""
        if self.optional and given == NONE:
            return None
        if self.shape == "many" and self.is_path and isinstance(given, str):  # one folder needs no list
            given = [given]
        try:
            self._check_paths(given)
            return _sensible(self.adapter().validate_json(json.dumps(given), strict=True))
        except (ValueError, TypeError, RecursionError) as error:
            raise UsageError(f"{where} = {shown(given)}: expected {self.expected}{self._also(error)}") from None

    def check_default(self) -> None:
        """Raise ``UsageError`` where the default is not a value the field would take."""
        if self.default is REQUIRED:
            return
        try:
            _sensible(self.adapter().validate_python(self.default, strict=True))
        except ValueError as error:
            message = f"field {self.name}: invalid default {self.default!r}: expected {self.expected}"
            raise UsageError(message + self._also(error)) from None

    def _check_paths(self, given: Any) -> None:
        """Raise ``ValueError`` for an empty path, which Python takes for the current folder, and for a NUL in one."""
        if self.is_path:
            for one in [given] if isinstance(given, str) else given:
                if isinstance(one, str) and (not one or "\0" in one):
                    raise ValueError("not a path")

    def _literal(self, given: Any) -> Any:
        """Choices that are no strings, by their text."""
        if self.shape != "one" or get_origin(bare_type(self.items[0])) is not Literal:
            return given
        return next((choice for choice in get_args(bare_type(self.items[0])) if str(choice) == given), given)

    def _also(self, error: Exception) -> str:
        """The message of a check of the plugin's own, which our words do not cover."""
        details: list[dict[str, Any]] = getattr(error, "errors", list)()
        own = [d["msg"] for d in details if d["type"] in ("value_error", "assertion_error", "predicate_failed")]
        return f" ({' '.join(own[0].split())})" if own else ""


def fields_of(cls: type[DataclassInstance], table: str, defaults: object = None) -> list[Field]:
    """The fields of a dataclass that its constructor takes: required ones, then its own, then those that it inherits.

    ``defaults``: an instance whose values are the defaults.

    Raises ``UsageError`` where an annotation cannot be read.
    """
    found = []
    for field in dataclasses.fields(cls):
        if not field.init:
            continue
        default: Any = field.default
        if defaults is not None:
            default = getattr(defaults, field.name)
        elif field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        found.append(field_of(table, field.name, _annotation(cls, field.name), default))
    own = inspect.get_annotations(cls)
    return sorted(found, key=lambda field: (field.default is not REQUIRED, field.name not in own))


def check_model(cls: type[TaskModel]) -> None:
    """Check the flags of a task model, its source and the run together, before anyone sees them.

    Raises ``UsageError`` for a field that collides with another flag, an invalid default or an unreadable annotation.
    """
    from translate.settings import Run

    owners: dict[str, str] = dict.fromkeys(TRAIN_FLAGS | EVERYWHERE, "gantk train")
    groups = (("gantk train", Run, "run"), (cls.source.__name__, cls.source, "data"), (cls.__name__, cls, "model"))
    for owner, dataclass_type, table in groups:
        for field in fields_of(dataclass_type, table, cls.recipe if dataclass_type is Run else None):
            for flag in field.flags:
                if flag in owners:
                    raise UsageError(f"field {field.name} of {owner}: {flag} is already a flag of {owners[flag]}")
                owners[flag] = owner
            field.check_default()


def field_of(table: str, name: str, annotation: Any, default: Any) -> Field:
    """The field of that annotation; ``default``: ``REQUIRED`` where it has none."""
    notes = annotation.__metadata__ if get_origin(annotation) is Annotated else ()
    text = next((note for note in notes if isinstance(note, str)), "")
    inner = bare_type(annotation)
    spelling = next((note for note in notes if isinstance(note, Spelling)), Spelling())
    optional = False
    if get_origin(inner) in (Union, types.UnionType):
        options = [option for option in get_args(inner) if option is not type(None)]
        optional = len(options) < len(get_args(inner))
        inner = options[0] if len(options) == 1 else inner
    item = inner
    shape: Shape = "one"
    items: tuple[Any, ...] = (item,)
    if get_origin(bare_type(inner)) is tuple:
        parts = get_args(bare_type(inner))
        shape, items = ("many", parts[:1]) if parts[-1:] == (Ellipsis,) else ("fixed", parts)
    if not items or not all(_flaggable(part) for part in items) or (shape != "one" and optional):
        shape, items = "config", (str,)
    return Field(table, name, annotation, default, text, optional, shape, items, spelling)


def _flaggable(part: Any) -> bool:
    bare = bare_type(part)
    return bare in (bool, int, float, str, Path) or get_origin(bare) is Literal


def bare_type(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _annotation(cls: type, name: str) -> Any:
    """One field's annotation, resolved where it was written: the others may name what is imported for types only."""
    owner = next(base for base in cls.__mro__ if name in inspect.get_annotations(base))
    holder = types.SimpleNamespace(__annotations__={name: inspect.get_annotations(owner)[name]})
    names = vars(sys.modules[owner.__module__])
    try:
        return get_type_hints(holder, globalns=names, localns=dict(vars(owner)), include_extras=True)[name]
    except Exception as error:
        raise UsageError(f"field {name}: unreadable annotation ({error})") from error


def _described(annotation: Any) -> str:
    """What a value of a type without a flag looks like in a config file."""
    bare = bare_type(annotation)
    origin, parts = get_origin(bare) or bare, [part for part in get_args(bare) if part is not types.NoneType]
    if origin in (Union, types.UnionType):
        return " or ".join(map(_described, parts))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"a table, each value {_described(parts[1])}" if len(parts) == 2 else "a table"
    if origin is tuple and parts[-1:] != [Ellipsis]:
        return f"a list of {', '.join(map(_described, parts))}"
    if isinstance(origin, type) and issubclass(origin, Collection) and origin is not str:
        return f"a list, each {_described(parts[0])}" if parts else "a list"
    return _words(annotation) if _flaggable(annotation) else str(getattr(bare, "__name__", bare))


def _words(part: Any, annotation: Any = None) -> str:
    bare = bare_type(part)
    if get_origin(bare) is Literal:
        return "one of " + ", ".join(map(str, get_args(bare)))
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path"}
    limits = limits_of(part) or limits_of(annotation)
    return f"{names[bare]} {limits}".rstrip()


def limits_of(annotation: Any) -> str:
    notes = annotation.__metadata__ if get_origin(annotation) is Annotated else ()
    words = []
    for note in notes:
        for plain in note if isinstance(note, at.GroupedMetadata) else (note,):
            match plain:
                case at.Gt(gt=limit):
                    words.append(f"> {limit}")
                case at.Ge(ge=limit):
                    words.append(f">= {limit}")
                case at.Lt(lt=limit):
                    words.append(f"< {limit}")
                case at.Le(le=limit):
                    words.append(f"<= {limit}")
                case at.MultipleOf(multiple_of=factor):
                    words.append(f"divisible by {factor}")
    return " and ".join(words)


def _metavar(part: Any) -> str:
    bare = bare_type(part)
    if get_origin(bare) is Literal:
        return "|".join(map(str, get_args(bare)))
    return {bool: "BOOL", int: "INT", float: "NUMBER", str: "TEXT", Path: "PATH"}[bare]


def _sensible(value: Any) -> Any:
    """The value. Raises ``ValueError`` for numbers that are not finite or beyond 64 bits."""
    for one in value if isinstance(value, tuple) else (value,):
        match one:
            case float() if not math.isfinite(one):
                raise ValueError("not a finite number")
            case int() if abs(one) > LARGEST:
                raise ValueError("too large")
    return value


def map_paths(value: Any, change: Callable[[Path], Any]) -> Any:
    """A field's value with ``change`` applied to every path in it."""
    match value:
        case Path():
            return change(value)
        case tuple() | list():
            return type(value)(map_paths(item, change) for item in value)
        case Mapping():
            return {key: map_paths(item, change) for key, item in value.items()}
    return value


def shown(value: Any) -> str:
    """A config value as TOML or JSON has it, cut to one line."""
    try:
        return cut(json.dumps(value, default=str, ensure_ascii=False))
    except (ValueError, RecursionError):  # a number of thousands of digits, a list nested as deep
        return f"({type(value).__name__})"


def cut(text: str) -> str:
    """The text, or its beginning where it is long."""
    return text if len(text) <= 60 else text[:57] + "..."


def plain(value: Any) -> str:
    """A default as it would be typed."""
    if value is None or value in ((), []):
        return NONE
    if isinstance(value, (tuple, list)):
        return " ".join(map(plain, value))
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
