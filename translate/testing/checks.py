"""What every task model must satisfy, one function each. ``translate.testing`` runs them and reports.

A check yields a ``Problem`` for each fault that it finds. It trains through ``translate.training.engine``, on a task
model whose phases are watched, never on one that is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from translate.testing.running import directions, preview, published
from translate.testing.slow import compiled, processes
from translate.testing.subject import BATCH, Problem, Skipped, Subject
from translate.testing.training import (
    accumulation,
    bfloat16,
    builds,
    device_only,
    gradients,
    resume,
    roles,
    seeds,
    settings,
    stateless,
    terms,
)

__all__ = ["BATCH", "CHECKS", "SLOW_CHECKS", "Check", "Problem", "Skipped", "Subject"]

Check = Callable[[Subject], Iterator[Problem]]

CHECKS: Sequence[Check] = (
    *(builds, settings, stateless, terms, device_only, roles, gradients, accumulation, seeds, resume, bfloat16),
    *(directions, preview, published),
)
"""In the order in which a report shows them. The first must hold for the others to run."""

SLOW_CHECKS: Sequence[Check] = (compiled, processes)
"""Take seconds to minutes."""
