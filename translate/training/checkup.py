"""Follows the health of a run while it trains: reports what is found, once, and detects when no more steps can help."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from translate import distributed
from translate.console import current
from translate.errors import DeadError
from translate.training.engine import Engine
from translate.training.health import EARLY, PROBE_EVERY, Finding, Watch
from translate.training.journal import Journal
from translate.training.probe import probe


class Checkup:
    """The health of one run. Processes that do not lead only learn whether it is dead."""

    def __init__(self, engine: Engine, journal: Journal, out: Path, *, stops: bool) -> None:
        self.engine, self.journal, self.out, self.stops = engine, journal, out, stops
        self.watch = Watch.of(engine.task, engine.phases)
        self.dead: Finding | None = None

    def due(self, step: int) -> bool:
        """Whether to look at what the networks give after so many steps."""
        return step % (PROBE_EVERY if step <= EARLY else EARLY) == 0

    def numbers(self, samples: Mapping[str, Tensor]) -> dict[str, float]:
        """What the networks give for these samples, where this is due."""
        return probe(self.engine, samples) if self.due(self.engine.step) else {}

    def follow(self, record: Mapping[str, Any]) -> None:
        """Take a record of the run and report what is new."""
        for finding in self.watch.add(record):
            current().warning(finding.line)
            self.journal.note(finding.record(self.engine.step))
            if finding.certain and self.stops:
                self.dead = finding

    def is_dead(self) -> bool:
        """Whether no more steps can help; all processes must ask at the same step."""
        engine = self.engine
        return distributed.largest([float(self.dead is not None)], engine.world, engine.device)[0] > 0

    def error(self) -> DeadError:
        """Why the run stops."""
        what = "another process says why" if self.dead is None else f"{self.dead.what} since step {self.dead.since:,}"
        advice = "" if self.dead is None else f"; {self.dead.advice}"
        return DeadError(
            f"stopped at step {self.engine.step}, as training is dead: {what}{advice}; "
            f"--out {self.out} --resume --no-stop-when-dead goes on"
        )
