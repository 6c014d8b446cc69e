"""How long a step takes, found out on the first steps of a run: ``--minutes`` becomes a number of steps by it."""

from __future__ import annotations

import time
from collections.abc import Callable

from translate import distributed
from translate.training.engine import Engine

WARM_UP = 3
"""Steps that are not timed: they fill caches and compile."""

TIMED = 20
LONGEST = 20.0
"""Most steps that are timed, and seconds after which a slow run has been timed enough."""


def seconds_per_step(step: Callable[[], None], engine: Engine) -> float:
    """Take the first steps and time them; the slowest process's pace, the same on all."""
    for _ in range(WARM_UP):
        step()
    began, timed, elapsed = time.monotonic(), 0, 0.0
    while timed < TIMED and elapsed < LONGEST:
        step()
        timed += 1
        (elapsed,) = distributed.largest([time.monotonic() - began], engine.world, engine.device)
    return max(elapsed, 1e-6) / timed


def seconds_of(work: Callable[[], object], engine: Engine) -> float:
    """How long something takes the slowest process, at its second time: the first fills caches."""
    work()
    began = time.monotonic()
    work()
    return distributed.largest([time.monotonic() - began], engine.world, engine.device)[0]
