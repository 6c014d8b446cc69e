"""The conformance kit: proof that a task model keeps the contract. For plugin authors, their tests and ``gantk plugins
check``.

>>> check_task_model(MyModel())                      # in a test; the data is made up from the model's source
>>> check_task_model(MyModel(), Example(spec, batch))   # for a source of your own
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from translate.contract import DataSpec, TaskModel
from translate.errors import UsageError, named_line
from translate.testing.checks import BATCH, CHECKS, SLOW_CHECKS, Check, Problem, Skipped, Subject, pictures

__all__ = ["Example", "Problem", "Result", "check_names", "check_task_model", "examine", "example_for"]

SIZES = (32, 64, 96, 128, 256)
"""Image sizes that are tried, in this order, until the task model takes one; then its recipe's."""


@dataclass(frozen=True)
class Example:
    """Data to check a task model on: what it is, and a function that gives so many samples of it, as a loader does."""

    data: DataSpec
    batch: Callable[[int], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Result:
    """What a check found: ``title`` is the rule, ``reason`` why it was skipped."""

    check: str
    title: str
    state: Literal["passed", "failed", "skipped"]
    problems: tuple[Problem, ...] = ()
    reason: str = ""

    def __str__(self) -> str:
        lines = [f"{self.state:8} {self.check}: {self.title}" + (f" ({self.reason})" if self.reason else "")]
        return "\n".join([*lines, *(f"         {problem}" for problem in self.problems)])


def check_names(*, slow: bool = False) -> list[str]:
    """The names of the checks, in order."""
    return [check.__name__ for check in (*CHECKS, *(SLOW_CHECKS if slow else ()))]


def check_task_model(
    task: TaskModel, example: Example | None = None, *, slow: bool = False, skip: Mapping[str, str] | None = None
) -> list[Result]:
    """Raise ``AssertionError`` with every fault of the task model; returns the results where there is none.

    ``example``: made up from the task model's source unless given. ``slow``: also compile every phase and train on
    two processes. ``skip``: names of checks that cannot hold for this model, each with the reason.
    """
    results = list(examine(task, example, slow=slow, skip=skip))
    failed = [str(result) for result in results if result.state == "failed"]
    if failed:
        raise AssertionError("\n".join([f"{type(task).__name__} breaks {len(failed)} rule(s):", *failed]))
    return results


def examine(
    task: TaskModel, example: Example | None = None, *, slow: bool = False, skip: Mapping[str, str] | None = None
) -> Iterator[Result]:
    """One result per check, as each is done. Raises ``UsageError`` for an unknown source without an ``example``."""
    skip = skip or {}
    if unknown := sorted(set(skip) - set(check_names(slow=True))):
        raise UsageError(f"no check is named {unknown[0]!r}; there are {', '.join(check_names(slow=True))}")
    example = example or example_for(task)
    broken = False
    for check in (*CHECKS, *(SLOW_CHECKS if slow else ())):
        name, title = check.__name__, (check.__doc__ or "").strip()
        reason = "the networks and phases must fit together first" if broken else skip.get(name, "")
        if reason:
            yield Result(name, title, "skipped", reason=reason)
            continue
        result = _run(check, task, example, name, title)
        broken = broken or (check is CHECKS[0] and result.state == "failed")
        yield result


def example_for(task: TaskModel) -> Example:
    """Noise as the task model's source would give it, of the smallest size in ``SIZES`` that the model takes.

    Raises ``UsageError`` where the source is none of gantk's own, or no size will do.
    """
    refusals: list[str] = []
    for size in dict.fromkeys((*SIZES, task.recipe.size)):
        data = _data_for(task, size)
        try:
            for build in task.networks(data).values():
                build()
        except UsageError as error:
            refusals.append(str(error))
            continue
        return Example(data, lambda count, data=data: _noise(data, count))  # type: ignore[misc]
    raise UsageError(f"{type(task).__name__} takes none of the sizes {', '.join(map(str, SIZES))}: {refusals[-1]}")


def _data_for(task: TaskModel, size: int) -> DataSpec:
    from translate.data.images import Images
    from translate.data.lowhigh import LowHigh
    from translate.data.paired import Paired
    from translate.data.unpaired import Unpaired

    if issubclass(task.source, (Unpaired, Paired)):
        return DataSpec(size, {"a": 3, "b": 3})
    if issubclass(task.source, Images):
        return DataSpec(size, {"image": 3})
    if issubclass(task.source, LowHigh):
        return DataSpec(size, {"low": 3, "high": 3}, scale=4)
    raise UsageError(f"{task.source.__name__} is a source of its own: give check_task_model an Example of its data")


def _noise(data: DataSpec, count: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    sides = {name: data.size // data.scale if name == "low" else data.size for name in data.channels}
    return {name: pictures(data, name, count, side, side, generator) for name, side in sides.items()}


def _run(check: Check, task: TaskModel, example: Example, name: str, title: str) -> Result:
    rng = torch.get_rng_state()
    with tempfile.TemporaryDirectory(prefix="gantk-check-", ignore_cleanup_errors=True) as folder:
        subject = Subject(task, example.data, dict(example.batch(BATCH)), Path(folder))
        try:
            problems: Sequence[Problem] = tuple(check(subject))
        except Skipped as skipped:
            return Result(name, title, "skipped", reason=str(skipped))
        except Exception as error:  # a plugin may raise anything; it is its report's business, not the reader's
            problems = (Problem("no error", named_line(error), subject.place_of(error)),)
        finally:
            torch.set_rng_state(rng)
    return Result(name, title, "failed" if problems else "passed", tuple(problems))
