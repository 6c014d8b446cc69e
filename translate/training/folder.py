"""The run folder: created whole with its config, never overwritten, and resumed only as the same run."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from translate import plugins
from translate.config import load_toml
from translate.console import current
from translate.contract import Source
from translate.data.heldout import held_out_source
from translate.data.record import changes, record
from translate.errors import UsageError
from translate.fields import cut, fields_of, plain
from translate.files import is_leftover, make_folder, remove_leftovers, write_folder_whole, write_text_whole
from translate.settings import Run
from translate.training.layout import CHECKPOINTS, CONFIG, DATA, PREVIEWS


def check_free(out: Path) -> None:
    """Raise ``UsageError`` unless ``out`` is an empty folder or can be created. Writes nothing."""
    if out.is_file() or (out.is_dir() and not all(map(is_leftover, out.iterdir()))):
        raise UsageError(f"--out {out}: exists already; add --resume to resume it, or choose another name")
    there = next(place for place in (out.absolute(), *out.absolute().parents) if place.exists())
    if not there.is_dir():
        raise UsageError(f"--out {out}: {there} is a file; expected a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"--out {out}: cannot be written to (no permission for {there})")


def check_same(out: Path, config: str) -> None:
    """Raise ``UsageError`` unless the run in ``out`` may resume with ``config`` (TOML).

    What decides the run must be as it was, except for the data and the files that the model's settings name, which may
    have moved: changes there are reported.
    """
    if not (out / CONFIG).is_file():
        raise UsageError(f"--resume: {out} is no run folder ({CONFIG} is missing)")
    saved, now = load_toml(out / CONFIG), tomllib.loads(config)
    for table in ("data", "model", "run"):
        if not isinstance(saved.setdefault(table, {}), dict):
            raise UsageError(f"--resume: {out / CONFIG}: expected a table, [{table}]")
    if saved.get("plugin") != now.get("plugin"):
        raise UsageError(f"--resume: {out} is a run of {saved.get('plugin')}, not of {now.get('plugin')}")
    model = fields_of(plugins.load(now["plugin"]), "model")
    free = {"model": frozenset(field.name for field in model if field.is_path), "run": Run.changeable()}
    defaults = {
        "model": {field.name: field.default for field in model},
        "run": {field.name: field.default for field in fields_of(Run, "run")},
    }
    installed = " ".join(plugins.origin(now["plugin"]))
    for table, may_change in free.items():
        for key, before, after in _changes(saved.get(table, {}), now.get(table, {})):
            flag, typed = key.replace("_", "-"), [plain(value) for value in (before, after)]
            if key not in defaults[table]:
                raise UsageError(f"--resume: {out / CONFIG} has {table}.{cut(key)}, which {installed} does not know")
            if key not in saved.get(table, {}) and after == defaults[table].get(key):
                current().line(f"--{flag} is new since the run began; it has its default, {typed[1]}")
            elif key not in may_change:
                raise UsageError(f"--resume: --{flag} was {typed[0]} in {out} and cannot become {typed[1]}")
            elif table == "model":
                current().line(f"--{flag} was {typed[0]}, it is {typed[1]} from here on")
            elif key in ("steps", "epochs") and before is not None and after is not None and after > before:
                current().line(f"--{flag} was {before}, it is {after}: schedules stretch (--schedule-steps keeps them)")
    for key, *values in _changes(saved.get("data", {}), now.get("data", {})):
        before, after = map(plain, values)
        current().line(f"the data have changed: {key} was {before}, it is {after} from here on")


def _changes(saved: dict[str, Any], now: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    keys = dict.fromkeys([*saved, *now])
    return [(key, saved.get(key), now.get(key)) for key in keys if saved.get(key) != now.get(key)]


def make(out: Path, config: str) -> None:
    """Create the folder with its config in one rename, so that a new run folder without config never exists.

    An empty folder is taken as it is: it may be a mount point or a link, which no rename could replace. Raises
    ``UsageError`` where another run has come first.
    """
    if out.is_dir():
        check_free(out)
        remove_leftovers(out)
        write_text_whole(out / CONFIG, config)
        return
    make_folder(out.parent, f"--out {out}")
    try:
        write_folder_whole(out, lambda fresh: write_text_whole(fresh / CONFIG, config))
    except OSError:
        check_free(out)  # two runs that began together may have chosen one name
        raise


def reopen(out: Path, config: str) -> None:
    """Record the settings with which the run resumes, and clear what a killed process left half-written."""
    for folder in (out, out / CHECKPOINTS, out / PREVIEWS):
        remove_leftovers(folder)
    write_text_whole(out / CONFIG, config)


def note_data(out: Path, source: Source, facts: Mapping[str, Any]) -> None:
    """Record which files the source names, and report what has changed since the record that is there.

    ``facts``: what else is recorded of the data, by name.
    """
    now, file = dict(record(source)), out / DATA
    if source.val is not None:
        now |= {f"val/{name}": value for name, value in record(held_out_source(source)).items()}
    if file.is_file():
        try:
            before = json.loads(file.read_text(encoding="utf-8"))
            lines = changes(before["files"], now)
        except (ValueError, AttributeError, KeyError, TypeError):
            lines = [f"{file} is damaged: what has changed in the data is not known"]
        for line in lines:
            current().line(line)
    write_text_whole(file, json.dumps({**facts, "files": now}, indent=0))
