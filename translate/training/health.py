"""What goes wrong in a run, in plain words, from the records of metrics.jsonl alone.

Each rule looks at series of numbers that a run records anyway, or that `translate.training.probe` records now
and then. A run that is resumed, and ``gantk health RUN``, read the same records and find the same.
"""

from __future__ import annotations

import json
import statistics
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from translate.contract import Phase, TaskModel
from translate.errors import UsageError

PROBE_EVERY, EARLY = 50, 200
"""Steps between two looks at what the networks give for a few fixed samples, and how long they are so few; from then on
a look comes every ``EARLY`` steps, which costs less than a hundredth of the time."""

PROBES = 3
"""Probes in a row that must agree."""
RECORDS = 3
"""Records of a phase's values in a row that must agree."""
WAITS = 10
"""Records in a row in which the run waits for data."""

MEMORISED = 0.7
"""Of how much nearer a discriminator puts real pictures than fakes, the share that held-out ones lack."""

FIRST = 5
"""Records at the start of a run that say how large a value is in the beginning."""

Series = deque[tuple[int, float]]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. ``kind`` and ``where``: in a word each. ``certain``: whether more steps cannot help."""

    kind: str
    where: str
    since: int
    what: str
    advice: str
    certain: bool = False

    @property
    def line(self) -> str:
        """For people."""
        return f"health: {self.what} since step {self.since:,}; {self.advice}"

    def record(self, step: int) -> dict[str, Any]:
        """For metrics.jsonl."""
        return {
            "step": step,
            "health": self.kind,
            "where": self.where,
            "since": self.since,
            "certain": self.certain,
            "text": self.line.removeprefix("health: "),
        }


@dataclass
class History:
    """The last values by name, and what they were in the beginning."""

    recent: dict[str, Series] = field(default_factory=dict)
    first: dict[str, list[float]] = field(default_factory=dict)

    def add(self, record: Mapping[str, Any]) -> None:
        """Take the numbers of one record."""
        for name, value in record.items():
            if name == "step" or isinstance(value, (bool, str)) or value is None:
                continue
            self.recent.setdefault(name, deque(maxlen=2 * WAITS)).append((int(record["step"]), float(value)))
            if len(first := self.first.setdefault(name, [])) < FIRST:
                first.append(abs(float(value)))

    def since(self, name: str, holds: Callable[[float], bool], count: int) -> int | None:
        """The step from which on ``holds`` is true without a break, for ``count`` records or more; None if for less."""
        start, found = None, 0
        for step, value in reversed(self.recent.get(name, ())):
            if not holds(value):
                break
            start, found = step, found + 1
        return start if found >= count else None

    def started_at(self, name: str) -> float:
        """How large the value was in the beginning; 0 where there are too few records."""
        first = self.first.get(name, [])
        return statistics.median(first) if len(first) == FIRST else 0.0


Rule = Callable[[History], Iterator[Finding]]


@dataclass
class Watch:
    """Follows a run; what it has reported once it does not report again."""

    phases: Sequence[Phase]
    opponents: frozenset[str]
    """Names of the phases that move discriminators alone."""
    history: History = field(default_factory=History)
    reported: set[tuple[str, str]] = field(default_factory=set)

    @classmethod
    def of(cls, task: TaskModel, phases: Sequence[Phase]) -> Watch:
        """For a run of this task model."""
        judges = set(task.discriminators)
        return cls(phases, frozenset(phase.name for phase in phases if judges.issuperset(phase.updates)))

    def add(self, record: Mapping[str, Any]) -> list[Finding]:
        """Take one record of metrics.jsonl; what is newly found."""
        if "health" in record:
            self.reported.add((str(record["health"]), str(record["where"])))
            return []
        self.history.add(record)
        new = []
        for finding in self._findings():
            if (finding.kind, finding.where) not in self.reported:
                self.reported.add((finding.kind, finding.where))
                new.append(finding)
        return new

    def _findings(self) -> Iterator[Finding]:
        for phase in self.phases:
            yield from self._of_phase(phase)
        yield from _explosions(self.history)
        yield from _waiting(self.history)
        directions = {name.split("/")[1] for name in self.history.recent if name.startswith("health/")}
        for direction in sorted(directions):
            yield from _of_results(self.history, direction)

    def _of_phase(self, phase: Phase) -> Iterator[Finding]:
        history, norm = self.history, f"{phase.name}/grad_norm"
        moved = ", ".join(phase.updates)
        dead = history.since(norm, lambda value: value == 0, RECORDS)
        if dead is not None:
            what = f"phase {phase.name} has no gradient, so {moved} learns nothing any more"
            yield Finding("dead", phase.name, dead, what, "a lower --lr, or another --seed, usually helps", True)
        idle = history.since(f"{phase.name}/lr", lambda value: value == 0, 2)
        if idle is not None:
            what = f"phase {phase.name} has a learning rate of 0"
            yield Finding("no-learning-rate", phase.name, idle, what, "see --lr and the model's schedule", True)
        start = history.started_at(norm)
        won = history.since(norm, lambda value: 0 < value < 1e-3 * start, RECORDS)
        if phase.name in self.opponents and won is not None and dead is None:
            what = f"the discriminator has won: its gradient is a thousandth of what it was ({moved})"
            advice = "a lower --lr-d, --ada or --diffaug usually helps"
            yield Finding("discriminator-won", phase.name, won, what, advice)


def _explosions(history: History) -> Iterator[Finding]:
    for name in history.recent:
        if "/" not in name or name.startswith("health/") or name.endswith("/lr"):
            continue
        limit = 1e4 * max(min(history.first[name]), 0.1)
        grown = history.since(name, lambda value, limit=limit: abs(value) > limit, RECORDS)  # type: ignore[misc]
        if grown is not None and len(history.first[name]) == FIRST:
            what = f"{name} has grown ten thousand times"
            yield Finding("explosion", name, grown, what, "a lower --lr, or --clip 1, usually helps")


def _waiting(history: History) -> Iterator[Finding]:
    since = history.since("waiting", lambda share: share > 0.9, WAITS)
    if since is not None:
        what = "nine tenths of the time go into waiting for data"
        yield Finding("waiting", "data", since, what, "more --workers, --cache memory or --cache disk helps")


def _of_results(history: History, direction: str) -> Iterator[Finding]:
    """What is wrong with the pictures that a direction gives, by `translate.training.probe`'s numbers.

    Or with a discriminator of that name, by those of `translate.training.memorising`.
    """

    def lasting(name: str, holds: Callable[[float], bool]) -> int | None:
        return history.since(f"health/{direction}/{name}", holds, PROBES)

    restart = "a lower --lr, or another --seed, usually helps"
    flat = lasting("contrast", lambda value: value < 0.01)
    if flat is not None:
        yield Finding("constant", direction, flat, f"results of {direction} are of one colour", restart, True)
        return
    full = lasting("saturated", lambda value: value > 0.95)
    if full is not None:
        what = f"results of {direction} are black or white nearly everywhere"
        yield Finding("saturated", direction, full, what, restart)
    alike = lasting("spread", lambda value: value < 0.03)
    if alike is not None:
        what = f"results of {direction} are nearly all the same picture (mode collapse)"
        advice = "a lower --lr-d, a larger --batch, --ada or another loss usually helps"
        yield Finding("collapse", direction, alike, what, advice)
    twins = lasting("twins", lambda value: value > 0.5)
    if twins is not None and alike is None:
        what = f"most results of {direction} nearly equal another one (mode collapse)"
        advice = "a lower --lr-d, a larger --batch, --ada or another loss usually helps"
        yield Finding("duplicates", direction, twins, what, advice)
    copied = lasting("change", lambda value: value < 0.015)
    if copied is not None:
        what = f"{direction} copies its input"
        advice = "less weight for what keeps the input (such as --identity, --cycle) usually helps"
        yield Finding("copy", direction, copied, what, advice)
    inverted = lasting("correlation", lambda value: value < -0.7)
    if inverted is not None:
        what = f"{direction} inverts colours"
        yield Finding("inverted", direction, inverted, what, "another --seed, or an identity term, usually helps")
    known = lasting("memorised", lambda value: value > MEMORISED)
    if known is not None:
        what = f"discriminator {direction} knows its training pictures by heart: it takes held-out ones for fakes"
        yield Finding("memorises", direction, known, what, "--ada, --diffaug or more pictures usually help")
    far = lasting("average_gap", lambda value: value > 0.5)
    if far is not None:
        what = f"results of {direction} by the moving average are far from those of the weights themselves"
        yield Finding("average-far", direction, far, what, "a lower --ema follows faster; a lower --lr is steadier")


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a metrics.jsonl. Raises ``UsageError`` naming file and line for what is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        raise UsageError(f"{path}: not readable; expected the metrics.jsonl of a run") from None
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            record["step"] = int(record["step"])
        except (ValueError, KeyError, TypeError):
            raise UsageError(f"{path}: line {number} is no record of a run; expected JSON with a step") from None
        yield record


def examine(watch: Watch, records: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """All that is found in the records of a run, whatever was reported then."""
    return [finding for record in records if "health" not in record for finding in watch.add(record)]
