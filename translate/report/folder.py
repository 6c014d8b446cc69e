"""A run folder as a page shows it; whatever is missing or damaged in it is left out."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from translate import plugins
from translate.config import to_toml
from translate.errors import GantkError, UsageError, shortened
from translate.evaluation import result
from translate.evaluation.result import Result
from translate.fields import REQUIRED
from translate.modelfile.header import FILE_NAME
from translate.report.pictures import BUDGET, Gallery
from translate.report.records import Records
from translate.training import lock
from translate.training.checkpoint import list_checkpoints, step_of
from translate.training.circumstances import FILE as ENVIRONMENT
from translate.training.layout import BEST, CHECKPOINTS, CONFIG, DATA, METRICS, PREVIEWS, check_run
from translate.training.lock import LOCK
from translate.training.request import tables_of

LARGEST = 64 << 20
"""Bytes of a JSON file that is read."""
LONGEST = 300
"""Characters of a value from a file."""

Settings = Mapping[str, str]
"""Values of a config.toml by ``table.key``, as TOML writes them."""


@dataclass(frozen=True)
class Data:
    """What the data are: files by the flag that named them, and what was found on opening them."""

    files: Mapping[str, int]
    facts: Mapping[str, str]
    remarks: Sequence[str]


class RunFolder:
    """One run. ``update`` reads what is new in it; a page is made of the rest."""

    def __init__(self, path: Path, name: str, budget: int = BUDGET) -> None:
        self.path, self.name = path, name
        self.records = Records(path / METRICS)
        self.gallery = Gallery(path / PREVIEWS, budget)
        self._read: dict[str, tuple[int, dict[str, Any]]] = {}
        self.update()

    def update(self) -> None:
        """Read the folder again."""
        self.records.update()
        self.config = self._content(CONFIG, _toml)
        self.settings = flat(self.config)
        self.data = data_of(self._content(DATA, _json))
        self.environment = _texts(self._content(ENVIRONMENT, _json))
        self.trains = trains(self.path)

    def _content(self, name: str, read: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
        """A file's content, which is read again only where it was written since: a data.json may be long."""
        path = self.path / name
        try:
            written = path.stat().st_mtime_ns
        except OSError:
            return {}
        if self._read.get(name, (None,))[0] != written:
            self._read[name] = written, read(path)
        return self._read[name][1]

    @property
    def plugin(self) -> str:
        """The name of the model's plugin; empty where the config does not say."""
        return shortened(self.config.get("plugin", ""))

    def run_setting(self, key: str, default: int) -> int:
        """A whole number of the table ``[run]``."""
        table = self.config.get("run")
        value = table.get(key, default) if isinstance(table, Mapping) else default
        return value if isinstance(value, int) and value > 0 else default

    @property
    def total(self) -> int | None:
        """Steps of the whole run, where the folder says how many."""
        if steps := self.run_setting("steps", 0):
            return steps
        samples, epochs = _number(self.data.facts.get("samples")), self.run_setting("epochs", 0)
        return epochs * max(1, samples // self.run_setting("batch", 1)) if samples and epochs else None

    @property
    def step(self) -> int:
        """How far the run is, by its records and previews."""
        return max([self.records.step, *self.gallery.steps()[-1:]])

    @property
    def state(self) -> str:
        """One word for people."""
        if self.trains:
            return "training"
        if self.total is not None and self.step >= self.total:
            return "complete"
        return "dead" if any(note.certain for note in self.records.notes) else "stopped"

    @property
    def checkpoints(self) -> list[int]:
        """The steps of the checkpoints that are kept."""
        return [step_of(path) for path in list_checkpoints(self.path / CHECKPOINTS)]

    @property
    def has_best(self) -> bool:
        """Whether there is a model file of the best step."""
        return (self.path / BEST).is_file()

    def results(self) -> list[Result]:
        """What ``gantk evaluate`` has kept beside the model."""
        file = result.place(self.path / FILE_NAME)
        with suppress(UsageError):
            return result.read(file) if file.is_file() else []
        return []

    @cached_property
    def defaults(self) -> Settings:
        """The settings that a run of this model has where nothing is given; empty where its plugin cannot be loaded."""
        try:
            tables = tables_of(plugins.load(self.plugin))
        except (GantkError, OSError):
            return {}
        return flat(
            {
                table: {field.name: field.default for field in fields if field.default is not REQUIRED}
                for table, fields in tables.items()
            }
        )


def open_runs(paths: Sequence[Path]) -> list[RunFolder]:
    """The runs, each with a name of its own. Raises ``UsageError`` for a folder that is no run."""
    for path in paths:
        check_run(path)
    places = [path.resolve() for path in paths]
    for place, count in Counter(places).items():
        if count > 1:
            raise UsageError(f"{place}: given {count} times; expected each run once")
    counts = Counter(place.name for place in places)
    names = [place.name if counts[place.name] == 1 else f"{place.parent.name}/{place.name}" for place in places]
    return [RunFolder(path, shortened(name, 60), BUDGET // len(paths)) for path, name in zip(paths, names, strict=True)]


def trains(path: Path) -> bool:
    """Whether a process trains in the folder now, as far as that can be known from here."""
    with suppress(OSError):
        owner = lock.read(path / LOCK)
        return owner is not None and owner.alive() is not False
    return False


def flat(config: Mapping[str, Any]) -> dict[str, str]:
    """The values by ``table.key`` as TOML writes them."""
    settings = {}
    for table, keys in config.items():
        if isinstance(keys, Mapping):
            for key, value in keys.items():
                with suppress(TypeError, UsageError):  # what no config of ours holds
                    settings[shortened(f"{table}.{key}")] = shortened(_written(value), LONGEST)
    return settings


def _written(value: Any) -> str:
    return to_toml({"x": {"y": value}}).partition("y = ")[2].strip()


def data_of(content: Mapping[str, Any]) -> Data:
    """From the content of a data.json."""
    files, remarks = content.get("files"), content.get("remarks")
    named = Counter(_origin(shortened(name)) for name in files) if isinstance(files, Mapping) else {}
    facts = {name: value for name, value in content.items() if name not in ("files", "remarks")}
    lines = [shortened(line, LONGEST) for line in remarks] if isinstance(remarks, list) else []
    return Data(dict(named), _texts(facts), lines[:50])


def _origin(name: str) -> str:
    """The flag that named a file's folder; of those that are held out elsewhere, with ``val/`` before it."""
    first, _, rest = name.partition("/")
    return f"{first}/{rest.partition('/')[0]}" if first == "val" else first


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdigit() else 0


def _texts(content: Mapping[str, Any]) -> dict[str, str]:
    """What a JSON file says by name, as text; nested mappings as ``name: value`` pairs."""
    texts = {}
    for name, value in content.items():
        pairs = [f"{key}: {inner}" for key, inner in value.items()] if isinstance(value, Mapping) else [str(value)]
        if pairs:
            texts[shortened(name)] = shortened(", ".join(pairs), LONGEST)
    return texts


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST:
            return {}
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
