"""How a run tells how it goes: progress for people, metrics.jsonl and TensorBoard for later."""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from translate.console import Console, json_line
from translate.errors import UsageError
from translate.files import write_text_whole

if TYPE_CHECKING:
    from io import TextIOWrapper

    from rich.progress import Progress, TaskID

METRICS = "metrics.jsonl"
TENSORBOARD = "tensorboard"
LINE_EVERY = 5.0
"""Seconds between progress lines where there is no terminal."""


class Journal:
    """Progress on stderr, records on stdout with ``--json``, and the run folder's files.

    It says nothing about progress and opens no file before ``begin``. Use it as a context manager.
    """

    def __init__(self, console: Console, *, tensorboard: bool = False) -> None:
        if tensorboard and importlib.util.find_spec("tensorboard") is None:
            raise UsageError("--tensorboard: not installed; expected pip install 'gantk[tensorboard]'")
        self.console = console
        self.tensorboard = tensorboard
        self.total = self.first = 0
        self._began = self._told = 0.0
        self._file: TextIOWrapper | None = None
        self._bar: tuple[Progress, TaskID] | None = None
        self._board: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def begin(self, folder: Path, *, total: int, start: int) -> None:
        """Training begins in ``folder`` after ``start`` of ``total`` steps; records past ``start`` are dropped."""
        self.total, self.first = total, start
        self._began = time.monotonic()
        truncate(folder / METRICS, start)
        self._file = (folder / METRICS).open("a", encoding="utf-8", newline="\n")
        if self.tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder / TENSORBOARD), purge_step=start + 1)
        if self.console.live:
            self._bar = _bar(total, start)

    def line(self, text: str) -> None:
        """A message for people."""
        if self._bar is not None:
            from rich.text import Text

            self._bar[0].console.print(Text(text), soft_wrap=True)
        else:
            self.console.line(text)

    def progress(self, step: int, *, images_per_s: float, waiting: float, terms: Mapping[str, float]) -> None:
        """Show how far the run is, how fast, and each term; ``waiting``: share of the time spent waiting for data."""
        if self._bar is not None:
            bar, task = self._bar
            bar.update(task, completed=step, speed=_speed(images_per_s, waiting), terms=_terms(terms))
            return
        now = time.monotonic()
        if now - self._told < LINE_EVERY and step < self.total:
            return
        self._told = now
        pace = (now - self._began) / max(1, step - self.first)
        left = _duration(pace * (self.total - step))
        self.console.line(f"step {step}/{self.total}  {left} left  {_speed(images_per_s, waiting)}  {_terms(terms)}")

    def metrics(self, record: Mapping[str, float | int]) -> None:
        """Append one record to metrics.jsonl, as a whole line, and to whatever else listens."""
        if self._file is not None:
            self._file.write(json_line(record))
            self._file.flush()
        self.console.record(record)
        if self._board is not None:
            for name, value in record.items():
                if name != "step":
                    self._board.add_scalar(name, value, int(record["step"]))

    def close(self) -> None:
        """Leave the terminal as it was and close the files."""
        if self._bar is not None:
            self._bar[0].stop()
            self._bar = None
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._board is not None:
            self._board.close()
            self._board = None


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
    from rich.console import Console as RichConsole
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

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


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
