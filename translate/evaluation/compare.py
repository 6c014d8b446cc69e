"""``gantk compare``: which of several runs is better, and whether that is more than noise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from translate.errors import UsageError
from translate.evaluation.result import Figure, Result, differences, place, read
from translate.metrics.bootstrap import NORMAL_95, Estimate, of_mean
from translate.modelfile.header import locate


@dataclass(frozen=True)
class Verdict:
    """One figure of a run beside the first run's: their difference with its 95 % interval.

    ``paired``: whether the difference was taken picture by picture, which is far sharper where runs fail on the same
    pictures. ``error``: 0 where the figures have no interval.
    """

    figure: str
    first: Figure
    other: Figure
    label: str
    difference: float
    error: float
    paired: bool

    @property
    def interval(self) -> Estimate:
        """The difference as an estimate."""
        return Estimate(self.difference, self.error)

    @property
    def beyond_noise(self) -> bool:
        """Whether the interval of the difference leaves out 0."""
        return abs(self.difference) > NORMAL_95 * self.error

    @property
    def words(self) -> str:
        """``better``, ``worse``, or that there is no difference beyond the noise."""
        if not self.beyond_noise:
            return "no difference beyond the noise"
        return "better" if (self.difference > 0) == (self.first.better == "higher") else "worse"


def latest(path: Path) -> list[Result]:
    """The results of a run folder, a model file or a file of results. Raises ``UsageError`` where there are none."""
    file = path if path.suffix == ".json" else place(locate(path))
    if not file.is_file():
        raise UsageError(f"{path}: no results ({file.name} is missing); expected gantk evaluate {path} ... before")
    found = read(file)
    if not found:
        raise UsageError(f"{file}: holds no results; expected gantk evaluate {path} ... before")
    return found


def comparable(runs: Sequence[Sequence[Result]]) -> list[Result]:
    """One result of each run, the latest, all of one setting. Raises ``UsageError`` that names what differs."""
    first, *others = runs
    for mine in reversed(first):
        theirs = [[each for each in other if not any(differences([mine, each]))] for other in others]
        if all(theirs):
            return [mine, *(alike[-1] for alike in theirs)]
    reasons = [reason for other in others for reason in differences([first[-1], other[-1]])]
    raise UsageError(f"these results cannot be compared: {reasons[0]}")


def compare(results: Sequence[Result], seed: int = 0) -> Iterator[Verdict]:
    """Every figure that all results have, of each run beside the first. Raises ``UsageError`` where there are none."""
    first, *others = results
    names = [mine.name for mine in first.figures if all(_has(other, mine) for other in others)]
    if not names:
        raise UsageError("these results cannot be compared: no figure was computed in the same way for all")
    for name in names:
        for other in others:
            yield _verdict(first[name], other[name], other.label, seed)


def _has(result: Result, figure: Figure) -> bool:
    """Whether a result has that figure, computed with the same network and weights."""
    return any((each.name, each.how) == (figure.name, figure.how) for each in result.figures)


def _verdict(first: Figure, other: Figure, label: str, seed: int) -> Verdict:
    ours, theirs = first.each or {}, other.each or {}
    if ours and ours.keys() == theirs.keys():
        difference = of_mean([theirs[name] - ours[name] for name in ours], seed=seed)
        return Verdict(first.name, first, other, label, difference.value, difference.error, True)
    error = math.hypot(*((each.high - each.low) / 2 / NORMAL_95 for each in (first, other)))
    return Verdict(first.name, first, other, label, other.value - first.value, error, False)
