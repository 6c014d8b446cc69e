"""``gantk compare``: which of several runs is better, and whether that is more than noise."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from translate.errors import UsageError
from translate.evaluation.result import Figure, Result, differences, place, read
from translate.metrics.bootstrap import NORMAL_95, Estimate, of_mean, student_95
from translate.modelfile.header import locate


@dataclass(frozen=True)
class Verdict:
    """One figure of a run beside the first run's: their difference with its 95 % interval.

    ``paired``: whether the difference was taken picture by picture, which is far sharper where runs fail on the same
    pictures. ``error``: of the pictures and, where it is known, of training; 0 where the figures have no interval.
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


def replicas(results: Sequence[Result]) -> list[list[Result]]:
    """The results of runs that differ in their seed alone, two or more together."""
    groups: dict[Any, dict[Any, Result]] = {}
    for each in results:
        if each.model.get("recipe") is not None:
            groups.setdefault(each.model["recipe"], {}).setdefault(each.model.get("seed"), each)
    return [list(group.values()) for group in groups.values() if len(group) > 1]


def compare(results: Sequence[Result], seed: int = 0) -> Iterator[Verdict]:
    """Every figure that all results have, of each run beside the first. Raises ``UsageError`` where there are none.

    Where some of the runs differ in their seed alone, the noise of training is known too, and part of the intervals:
    the spread of a figure over such runs, with Student's t for as few as there are.
    """
    first, *others = results
    names = [mine.name for mine in first.figures if all(_has(other, mine) for other in others)]
    if not names:
        raise UsageError("these results cannot be compared: no figure was computed in the same way for all")
    for name in names:
        training = _of_training(name, replicas(results))
        for other in others:
            verdict = _verdict(first[name], other[name], other.label, seed)
            yield replace(verdict, error=math.hypot(verdict.error, training))


def _of_training(name: str, groups: Sequence[Sequence[Result]]) -> float:
    """The standard error of a difference of two runs that training alone causes, 0 where it is not known.

    As the normal distribution would need it for the same 95 % interval.
    """
    freedom = sum(len(group) - 1 for group in groups)
    if not freedom:
        return 0.0
    squares = sum(statistics.variance([each[name].value for each in group]) * (len(group) - 1) for group in groups)
    return math.sqrt(2 * squares / freedom) * student_95(freedom) / NORMAL_95


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
