"""What became of the photos of one ``gantk infer``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from translate.console import current, printable

Status = Literal["done", "skipped", "failed", "ignored"]
Entry = dict[str, Any]
"""The record of one photo: ``input``, ``output``, ``status``, and what else is known."""


@dataclass
class Summary:
    """What became of the inputs, of all processes together in the one that leads.

    ``skipped``: done by an earlier run. ``ignored``: files in folders that are no pictures and do not claim to be.
    ``failures``: (file, reason). ``notes``: what else the user should know, with the number of files.
    ``seconds``: time spent in ``decode`` and ``encode`` (summed over threads), ``network``, and ``total``.
    ``leads``: whether this process speaks for all.
    """

    done: int = 0
    skipped: int = 0
    failed: int = 0
    ignored: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    leads: bool = True

    @property
    def exit_code(self) -> int:
        """0, or 3 where some inputs failed. Processes that do not lead give 0, or torchrun would stop the others."""
        return 3 if self.failed and self.leads else 0

    @property
    def count(self) -> int:
        """The files of which it is known what became of them."""
        return self.done + self.skipped + self.ignored + self.failed

    def enter(self, entry: Entry) -> None:
        """Count the record of one photo."""
        status: Status = entry["status"]
        setattr(self, status, getattr(self, status) + 1)
        if status == "failed":
            self.failures.append((entry["input"], entry["reason"]))
        for note in entry.get("notes", ()):
            self.notes[note] = self.notes.get(note, 0) + 1

    def add(self, other: dict[str, Any]) -> None:
        """Add another process's summary (as JSON values)."""
        for name in ("done", "skipped", "failed", "ignored"):
            setattr(self, name, getattr(self, name) + other[name])
        self.failures += [(path, reason) for path, reason in other["failures"]]
        self.notes = dict(Counter(self.notes) + Counter(other["notes"]))
        for stage, seconds in other["seconds"].items():
            both = (self.seconds.get(stage, 0.0), seconds)
            self.seconds[stage] = max(both) if stage == "total" else sum(both)

    def lines(self) -> Iterator[str]:
        """The summary for people."""
        yield from self.failed_lines()
        for note, count in sorted(self.notes.items()):
            yield f"note: {note} ({count} {'file' if count == 1 else 'files'})"
        parts = [f"{self.done} done"]
        if self.skipped:
            parts.append(f"{self.skipped} skipped (their outputs exist; --overwrite redoes them)")
        if self.ignored:
            parts.append(f"{self.ignored} ignored")
        yield ", ".join([*parts, f"{self.failed} failed"])

    def failed_lines(self) -> Iterator[str]:
        """What failed, and why."""
        for path, reason in self.failures:
            yield f"failed: {printable(path)}: {printable(reason)}"


class Tally:
    """Takes the record of each photo as it is done: counts it, and passes it on."""

    def __init__(self) -> None:
        self.summary = Summary()
        self.on_the_way: Callable[[Summary], None] = lambda summary: None
        self._console = current()

    def __call__(self, entry: Entry) -> None:
        self.summary.enter(entry)
        self._console.record(entry)
        self.on_the_way(self.summary)
