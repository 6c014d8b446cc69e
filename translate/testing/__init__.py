"""The conformance kit: proof that a task model keeps the contract. For plugin authors, their tests and ``gantk plugins
check``.

>>> check_task_model(MyModel())                      # in a test; the data is made up from the model's source
>>> check_task_model(MyModel(), Example(spec, batch))   # for a source of your own
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from translate.contract import Dataset, DataSpec, TaskModel
from translate.data.loader import fixed_batch
from translate.errors import UsageError, named_line
from translate.testing.checks import BATCH, CHECKS, SLOW_CHECKS, Check, Problem, Skipped, Subject

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
    """Data made up by the task model's source, of the smallest size in ``SIZES`` that the model takes.

    Raises ``UsageError`` where the source has no example, or no size will do.
    """
    refusals: list[str] = []
    for size in dict.fromkeys((*SIZES, task.recipe.size)):
        dataset = task.source.example(size)
        try:
            for build in task.networks(dataset.spec).values():
                build()
        except UsageError as error:
            refusals.append(str(error))
            continue
        return Example(dataset.spec, partial(_samples, dataset))
    raise UsageError(f"{type(task).__name__} takes none of the sizes {', '.join(map(str, SIZES))}: {refusals[-1]}")


def _samples(dataset: Dataset, count: int) -> dict[str, Tensor]:
    return fixed_batch(dataset, count, 0)


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
