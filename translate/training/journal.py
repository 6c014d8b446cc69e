"""How a run shows what it does: progress for people, metrics.jsonl and trackers for later."""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from translate.console import clock_time, current, json_line
from translate.errors import named_line
from translate.files import write_text_whole
from translate.training.layout import CONFIG, METRICS
from translate.training.trackers import Tracker

if TYPE_CHECKING:
    from io import TextIOWrapper


LINE_EVERY = 5.0
"""Seconds between progress lines where there is no terminal."""


class Journal:
    """Progress on stderr, records on stdout with ``--json``, the run folder's metrics, and trackers by name.

    It opens no file before ``begin``, which only the first process of a run calls. Use it as a context manager.
    A tracker that fails never stops the run: the user is warned once, and it hears no more.
    """

    def __init__(self, trackers: Mapping[str, Tracker] | None = None) -> None:
        self.total = self.first = 0
        self._began = self._shown = 0.0
        self._file: TextIOWrapper | None = None
        self._bar: tuple[Progress, TaskID] | None = None
        self._trackers = dict(trackers or {})
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def begin(self, folder: Path, *, total: int, start: int) -> None:
        """Training begins in ``folder`` after ``start`` of ``total`` steps; records past ``start`` are dropped."""
        self.total, self.first = total, start
        self._began = time.monotonic()
        truncate(folder / METRICS, start)
        self._file = self._open.enter_context((folder / METRICS).open("a", encoding="utf-8", newline="\n"))
        if self._trackers:
            settings = tomllib.loads((folder / CONFIG).read_text(encoding="utf-8"))
            self._each(lambda tracker: tracker.begin(folder, settings, start))
        if current().live:
            self._bar = bar, _ = _bar(total, start)
            self._open.enter_context(current().below(bar))

    def extend(self, total: int) -> None:
        """The run turns out to have so many steps."""
        self.total = total
        if self._bar is not None:
            bar, task = self._bar
            bar.update(task, total=total)

    def progress(self, step: int, *, images_per_s: float, waiting: float, terms: Mapping[str, float]) -> None:
        """Show how far the run is, how fast, and each term; ``waiting``: share of the time spent waiting for data."""
        if self._bar is not None:
            bar, task = self._bar
            bar.update(task, completed=step, speed=_speed(images_per_s, waiting), terms=_terms(terms))
            return
        now = time.monotonic()
        if now - self._shown < LINE_EVERY and step < self.total:
            return
        self._shown = now
        pace = (now - self._began) / max(1, step - self.first)
        left = clock_time(pace * (self.total - step))
        current().line(f"step {step}/{self.total}  {left} left  {_speed(images_per_s, waiting)}  {_terms(terms)}")

    def metrics(self, record: Mapping[str, float | int]) -> None:
        """Append one record to metrics.jsonl, as a whole line, and give it to whatever else listens."""
        if self._file is not None:
            self._file.write(json_line(record))
            self._file.flush()
        current().record(record)
        values = {name: value for name, value in record.items() if name != "step"}
        self._each(lambda tracker: tracker.scalars(int(record["step"]), values))

    def note(self, record: Mapping[str, Any]) -> None:
        """Append to metrics.jsonl what has no numbers: what is wrong with the run, or left out of its data."""
        if self._file is not None:
            self._file.write(json_line(record))
            self._file.flush()
        current().record(record)

    def picture(self, step: int, file: Path) -> None:
        """A preview was written."""
        self._each(lambda tracker: tracker.picture(step, file))

    def close(self) -> None:
        """Leave the terminal as it was and close the files."""
        self._bar = self._file = None
        self._open.close()
        self._each(lambda tracker: tracker.close())
        self._trackers.clear()

    def _each(self, act: Callable[[Tracker], Any]) -> None:
        for name, tracker in list(self._trackers.items()):
            try:
                act(tracker)
            except (Exception, SystemExit) as error:
                del self._trackers[name]
                current().warning(f"tracker {name} failed and is left out from here on: {named_line(error)}")


def truncate(path: Path, step: int) -> None:
    """Drop the records after ``step`` steps, and a last line that a crash cut short; the file changes in one rename."""
    if not path.exists():
        return
    kept = []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    for line in lines:
        try:
            if int(json.loads(line)["step"]) <= step and line.endswith("\n"):
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            continue
    if kept != lines:
        write_text_whole(path, "".join(kept))


def _bar(total: int, start: int) -> tuple[Progress, TaskID]:
    bar = Progress(
        MofNCompleteColumn(),
        BarColumn(bar_width=20),
        TimeRemainingColumn(),
        TextColumn("{task.fields[speed]}", markup=False),
        TextColumn("{task.fields[terms]}", markup=False),
        console=RichConsole(stderr=True),
        refresh_per_second=4,
    )
    task = bar.add_task("", total=total, completed=start, speed="", terms="")
    bar.start()
    return bar, task


def _speed(images_per_s: float, waiting: float) -> str:
    text = f"{images_per_s:.3g} images/s"
    return f"{text}, {waiting:.0%} waiting for data" if waiting >= 0.1 else text


def _terms(terms: Mapping[str, float]) -> str:
    """Each term by its own name, with its phase before it where two phases have a term of that name."""
    own = [name.rpartition("/")[2] for name in terms]
    shown = [short if own.count(short) == 1 else name for short, name in zip(own, terms, strict=True)]
    return "  ".join(f"{name} {value:.4g}" for name, value in zip(shown, terms.values(), strict=True))
