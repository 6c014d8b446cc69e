"""A process of a fleet: it loads the model once, and does the few photos of each task that it is given."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

from translate.console import Console, using
from translate.data.formats import pixel_limit
from translate.device import choose_device
from translate.errors import GantkError
from translate.infer.direction import direction_of
from translate.infer.options import InferOptions
from translate.infer.plan import Job
from translate.infer.runner import Network
from translate.infer.stages import Stages
from translate.infer.summary import Entry
from translate.modelfile.model import load_published

DEPTH = 2
"""Tasks that a worker has at once, so that it reads the photos of one while it writes those of the other."""


@dataclass(frozen=True)
class Order:
    """What all workers of a run do. ``folder``: the current one of the process that plans; ``proof``: a file below
    ``out`` that a worker sees if it shares that folder."""

    model: Path
    out: Path
    options: InferOptions
    folder: Path
    proof: Path


@dataclass(frozen=True)
class Ready:
    """A worker can work. ``place``: its device and precision, for people; ``batch``: photos that it runs together."""

    place: str
    batch: int


@dataclass(frozen=True)
class Failure:
    """Why a worker cannot work, nor could another one."""

    message: str
    exit_code: int


@dataclass(frozen=True)
class Outcome:
    """What became of the photos of a task. ``failure``: why the rest of the run is in vain, as on a full disk."""

    entries: list[Entry] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    failure: Failure | None = None


class Worker:
    """One process's model and stages. ``do`` may be called by `DEPTH` threads at once."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._idle: SimpleQueue[Stages] = SimpleQueue()
        self._all: list[Stages] = []
        self._open = ExitStack()

    def start(self) -> Ready | Failure:
        """Load the model."""
        order = self._order
        try:
            self._enter(order)
            model = load_published(order.model)
            direction, device = direction_of(model, order.options), choose_device(order.options.device)
            with model.lock:
                network = Network(model, direction, device, order.options)
            self._all = [Stages(network, model.lock, order.options) for _ in range(DEPTH)]
        except GantkError as error:
            return Failure(str(error), error.exit_code)
        for stages in self._all:
            self._idle.put(stages)
        return Ready(self._all[0].place(), self._all[0].batch)

    def _enter(self, order: Order) -> None:
        """Stand where the planning process stands, so that relative paths lead to the same files."""
        try:
            os.chdir(order.folder)
            shared = order.proof.exists()
        except OSError:
            shared = False
        if not shared:
            host = socket.gethostname()
            raise GantkError(
                f"worker on {host}: {order.folder / order.out} is not shared with it; expected one file system"
            )
        self._open.enter_context(using(Console(mute=True)))
        self._open.enter_context(pixel_limit(order.options.max_pixels))

    def do(self, jobs: Sequence[Job]) -> Outcome:
        """Do the photos of one task."""
        stages = self._idle.get()
        entries: list[Entry] = []
        before = dict(stages.seconds)
        failure = None
        try:
            stages.run(jobs, entries.append)
        except GantkError as error:
            failure = Failure(str(error), error.exit_code)
        finally:
            self._idle.put(stages)
        spent = {stage: seconds - before[stage] for stage, seconds in stages.seconds.items()}
        return Outcome(entries, spent, failure)

    def stop(self) -> None:
        """Make ``do`` finish the files that are being written, and begin no other."""
        for stages in self._all:
            stages.stop()
