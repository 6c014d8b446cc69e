"""What the updates of a run gave: loss terms, logged values and gradient norms, on the device until they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from translate import distributed
from translate.distributed import World
from translate.errors import DivergedError

Values = Mapping[str, Tensor]

Outcome = tuple[Values, Values, Values, Values]
"""Of one run of a loss: the terms, what it kept, what it logged, what it handed to ``Phase.after`` alone."""


@dataclass
class Reading:
    """One update's values, still on the device: the terms, then what was logged, then the gradient's norm."""

    step: int
    phase: str
    names: tuple[str, ...]
    minimised: int
    values: Tensor


@dataclass
class Ledger:
    """What the updates since the last reading gave. Nothing is copied to the host until it is read."""

    readings: list[Reading] = field(default_factory=list)

    def add(
        self, step: int, phase: str, terms: Mapping[str, Tensor], logged: Mapping[str, Tensor], norm: Tensor
    ) -> None:
        """Note one update: its scalar terms and logged values, and the norm of its gradient."""
        values = torch.stack([*terms.values(), *logged.values(), norm.reshape(())])
        self.readings.append(Reading(step, phase, (*terms, *logged, "grad_norm"), len(terms), values))

    def latest(self) -> dict[str, float]:
        """The values of the latest step, for a display; ``phase/name``."""
        if not self.readings:
            return {}
        last = self.readings[-1].step
        rows = [reading for reading in self.readings if reading.step == last]
        flat = torch.cat([reading.values for reading in rows]).tolist()
        return dict(zip(_labels(rows), flat, strict=True))

    def read(self, world: World, *, norms_may_overflow: bool) -> dict[str, float]:
        """The mean of every value since the last reading, by ``phase/name``, and start anew.

        Raises ``DivergedError`` for the first loss term or gradient that was not finite.
        """
        readings, self.readings = self.readings, []
        if not readings:
            return {}
        flat = distributed.average(torch.cat([reading.values for reading in readings]), world).cpu()
        sums: dict[str, list[float]] = {}
        finite = torch.isfinite(flat).tolist()
        numbers = flat.tolist()
        position = 0
        for reading in readings:
            for index, name in enumerate(reading.names):
                value, good = numbers[position], finite[position]
                position += 1
                is_norm = index == len(reading.names) - 1
                if not good and (index < reading.minimised or (is_norm and not norms_may_overflow)):
                    what = "the gradient" if is_norm else f"term {name}"
                    raise DivergedError(
                        f"training diverged at step {reading.step}: {what} of phase {reading.phase} is {value}"
                    )
                sums.setdefault(f"{reading.phase}/{name}", []).append(value)
        return {name: sum(values) / len(values) for name, values in sums.items()}


def mean_of(outcomes: Sequence[Outcome]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The terms and the logged values of one update by name: scalars in fp32, averaged over its micro-batches."""
    terms, _, logged, _ = outcomes[0]
    rows = [torch.stack([v.detach().float() for v in (*t.values(), *extra.values())]) for t, _, extra, _ in outcomes]
    values = torch.stack(rows).mean(0).unbind()
    return dict(zip(terms, values, strict=False)), dict(zip(logged, values[len(terms) :], strict=True))


def _labels(readings: Sequence[Reading]) -> list[str]:
    return [f"{reading.phase}/{name}" for reading in readings for name in reading.names]
