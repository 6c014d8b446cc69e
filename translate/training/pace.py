"""How long steps take, found out before the first one: ``--minutes`` becomes a number of steps by it.

Steps need not be alike: networks grow, a warm-up ends, a penalty comes in one step of sixteen. Which steps are alike is
known from the phases that are due in them, so that each kind is timed once, on steps that are undone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import torch

from translate import distributed
from translate.contract import Phase
from translate.settings import UNKNOWN
from translate.training.engine import Engine
from translate.training.ledger import Ledger

WARM_UP = 3
"""Steps that are not timed: they fill caches and compile."""

TIMED = 20
LONGEST = 10.0
"""Most steps that are timed, and seconds after which a warm-up or a timing has been long enough."""

LONGEST_PERIOD = 10_000
"""Most steps whose mean stands for a stage: the phases' ``every`` may have a common multiple beyond all runs."""


@dataclass
class Pace:
    """How long each kind of step takes. ``measure``: the seconds of a step like that of a number."""

    phases: Sequence[Phase]
    measure: Callable[[int], float]
    seconds: dict[tuple[str, ...], float] = field(default_factory=dict)
    """By the names of the phases that are due."""

    def of(self, step: int) -> float:
        """The seconds of a step, measured where it is the first of its kind."""
        kind = tuple(phase.name for phase in self.phases if phase.due(step))
        if kind not in self.seconds:
            self.seconds[kind] = max(self.measure(step), 1e-6)
        return self.seconds[kind]

    def steps_within(self, seconds: float, beside: float = 0.0) -> int:
        """How many steps from the first there is time for; ``beside``: seconds that each takes for something else.

        A stage that would not be reached is not measured.
        """
        edges = {0, UNKNOWN, *(phase.start for phase in self.phases)}
        edges |= {phase.stop for phase in self.phases if phase.stop is not None}
        for start, end in pairwise(sorted(edges)):
            mean = self._mean(start, end) + beside
            if seconds < mean * (end - start):
                return start + int(seconds / mean)
            seconds -= mean * (end - start)
        return UNKNOWN

    def _mean(self, start: int, end: int) -> float:
        """Seconds per step between two steps between which no phase begins or ends."""
        active = [phase for phase in self.phases if phase.start <= start and (phase.stop is None or phase.stop > start)]
        length = min(math.lcm(*(phase.every for phase in active)), LONGEST_PERIOD, end - start)
        return sum(map(self.of, range(start, start + length))) / length

    def __str__(self) -> str:
        least, most = (f"{of(self.seconds.values()):.3g}" for of in (min, max))
        return f"{least} s" if least == most else f"{least} to {most} s"


@contextmanager
def undone(engine: Engine) -> Iterator[None]:
    """Undo at the end what happens to an engine before its first step."""
    modules = (engine.nets, engine.averages)
    before = [{name: value.to("cpu", copy=True) for name, value in _state(module)} for module in modules]
    scalers = {name: scaler.state_dict() for name, scaler in engine.scalers.items()}
    try:
        yield
    finally:
        with torch.no_grad():
            for module, values in zip(modules, before, strict=True):
                for name, value in _state(module):
                    value.copy_(values[name])
        for optimizer in engine.optimizers.values():
            optimizer.state.clear()
        for name, scaler in engine.scalers.items():
            scaler.load_state_dict(scalers[name])
        engine.step, engine.ledger = 0, Ledger()


def _state(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from ((name, parameter.detach()) for name, parameter in module.named_parameters())
    yield from module.named_buffers()


def seconds_per_step(step: Callable[[], None], engine: Engine) -> float:
    """Take some steps and time them; the slowest process's pace, the same on all."""
    _mean_of(step, WARM_UP, engine)
    return _mean_of(step, TIMED, engine)


def seconds_of(work: Callable[[], object], engine: Engine) -> float:
    """How long something takes the slowest process, at its second time: the first fills caches."""
    work()
    return _mean_of(work, 1, engine)


def _mean_of(work: Callable[[], object], most: int, engine: Engine) -> float:
    """Seconds of each time, over so many times at most."""
    began, times, elapsed = time.monotonic(), 0, 0.0
    while times < most and elapsed < LONGEST:
        work()
        if engine.device.type != "cpu":  # which would go on with what it was given
            torch.accelerator.synchronize(engine.device)
        times += 1
        (elapsed,) = distributed.largest([time.monotonic() - began], engine.world, engine.device)
    return elapsed / times
