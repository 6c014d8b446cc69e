"""What a run's metrics.jsonl holds, as series; read on from where the last reading ended."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from translate.errors import shortened
from translate.training.validation import HIGHER

MOST_POINTS = 400
"""Points of a curve on a page; of more, the least and the greatest of each stretch are kept."""
MOST_SERIES = 300
"""Names of values that are read; a run has a few dozen."""
MOST_NOTES = 100
"""Health notes that are read."""


@dataclass
class Series:
    """Values of one name after so many steps."""

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def thinned(self, most: int = MOST_POINTS) -> list[tuple[int, float]]:
        """At most so many points, in order, spikes included."""
        points = list(zip(self.steps, self.values, strict=True))
        if len(points) <= most:
            return points
        size = -(-len(points) // (most // 2))
        kept = []
        for start in range(0, len(points), size):
            stretch = points[start : start + size]
            ends = {min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])}
            kept += sorted(ends)
        return kept


@dataclass(frozen=True)
class Note:
    """What `translate.training.health` found: since which step, in words, and whether more steps could not help."""

    since: int
    text: str
    certain: bool


@dataclass(frozen=True)
class Best:
    """The best held-out figure: its name, value and step."""

    metric: str
    value: float
    step: int


class Records:
    """The records of one metrics.jsonl. What is no record is counted and passed over."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clear()

    def clear(self) -> None:
        """Forget all that was read."""
        self.series: dict[str, Series] = {}
        self.notes: list[Note] = []
        self.left_out: list[str] = []
        self.step = 0
        self.strange = 0
        self._offset = 0
        self._head = b""

    def update(self) -> None:
        """Read what was appended since; all of it where the file was written anew, as a resumed run does."""
        try:
            with self.path.open("rb") as file:
                head = file.read(256)
                size = file.seek(0, 2)
                if size < self._offset or not head.startswith(self._head):
                    self.clear()
                file.seek(self._offset)
                text = file.read()
        except OSError:
            return
        whole = text.rpartition(b"\n")[0] + b"\n" if b"\n" in text else b""
        self._head, self._offset = head[: min(len(head), self._offset + len(whole))], self._offset + len(whole)
        for line in whole.splitlines():
            self._add(line)

    def _add(self, line: bytes) -> None:
        try:
            record = json.loads(line)
            step = int(record["step"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            self.strange += 1
            return
        self.step = max(self.step, step)
        if "left_out" in record:
            if len(self.left_out) < MOST_NOTES:
                self.left_out.append(shortened(record["left_out"], 400))
            return
        if "health" in record:
            if len(self.notes) < MOST_NOTES:
                self.notes.append(_note(record, step))
            return
        for name, value in record.items():
            if name == "step" or isinstance(value, bool) or not isinstance(value, (int, float)):
                continue
            if math.isfinite(value) and (name in self.series or len(self.series) < MOST_SERIES):
                series = self.series.setdefault(name, Series())
                series.steps.append(step)
                series.values.append(float(value))

    def best(self) -> Best | None:
        """The best of the figures on held-out pictures; None where the run has none."""
        for name, series in self.series.items():
            metric = name.removeprefix("eval/")
            if metric != name and not metric.endswith("_error"):
                return _best(metric, series, -1 if metric in HIGHER else 1)
        return None

    def seconds(self, batch: int) -> float:
        """How long the run has trained, by its speed between the records; what it did besides is left out."""
        speeds = self.series.get("images_per_s", Series())
        total, before = 0.0, 0
        for step, speed in zip(speeds.steps, speeds.values, strict=True):
            total += max(0, step - before) * batch / speed if speed > 0 else 0.0
            before = step
        return total


def _best(metric: str, series: Series, sign: int) -> Best:
    """The first of the least values times ``sign``."""
    step, value = min(zip(series.steps, series.values, strict=True), key=lambda point: (sign * point[1], point[0]))
    return Best(metric, value, step)


def _note(record: Mapping[str, Any], step: int) -> Note:
    since = record.get("since")
    return Note(
        since if isinstance(since, int) else step,
        shortened(record.get("text", record["health"]), 400),
        record.get("certain") is True,
    )
