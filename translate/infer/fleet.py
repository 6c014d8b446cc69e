"""Photos handed out, a few at a time, to workers as they become free; a worker that dies costs what it was at work on.

Knows neither Ray nor networks: a `Cluster` starts workers and carries their tasks.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from translate.errors import GantkError, UsageError
from translate.infer.claims import claim_path, remove_if_dead
from translate.infer.entries import entry_of, written
from translate.infer.options import InferOptions
from translate.infer.plan import Job
from translate.infer.progress import reported_if_long
from translate.infer.summary import Entry
from translate.infer.worker import DEPTH, Failure, Outcome, Ready

CORES = 4
"""Of a worker on a CPU, as far as there are so many."""

MOST = 8
"""Photos of a task where workers run them one by one; where they run batches, so many batches."""

SHARES = 4
"""Tasks for each worker into which what is left is at least split, so that all end at about the same time."""

STARTS = 3
"""Workers that may die in a row before one of them could load the model."""

TRIES = 10
"""Workers that may die of or beside one photo. The claims know which photo is the cause long before."""

WAIT, FAREWELL = 0.5, 60.0
"""Seconds between two looks at what is to be done, and for which stopped workers may finish what they are writing."""


class WorkerDiedError(Exception):
    """The process that had a task is gone."""


class FleetError(GantkError):
    """The whole run fails."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Cluster(Protocol):
    """Where workers run. ``size``: how many of them."""

    size: int

    def hire(self) -> tuple[Hashable, Hashable]:
        """Begin to start a worker: the worker, and the ticket of its start."""

    def give(self, worker: Hashable, jobs: Sequence[Job]) -> Hashable:
        """Hand photos to a worker; the ticket of that task."""

    def finished(self, tickets: Sequence[Hashable], seconds: float) -> Sequence[Hashable]:
        """The tickets that have an outcome, waiting for a first one for so many seconds."""

    def outcome(self, ticket: Hashable) -> Ready | Failure | Outcome:
        """What came of a ticket. Raises ``WorkerDiedError``."""

    def stop(self, worker: Hashable) -> None:
        """Make a worker end its tasks early."""

    def dismiss(self, worker: Hashable) -> None:
        """Be rid of a worker, if it still runs."""


def room(options: InferOptions, nodes: Sequence[dict[str, float]]) -> tuple[int, int, int]:
    """How many workers there are to be, and the cores and GPUs of each.

    Raises ``UsageError`` where the machines do not have these.
    """
    gpus, cores = (sum(int(node.get(kind, 0)) for node in nodes) for kind in ("GPU", "CPU"))
    if options.device == "cuda" and not gpus:
        raise UsageError("--device cuda: the cluster has no GPU")
    if options.device != "cpu" and gpus:
        if (options.nproc or gpus) > gpus:
            raise UsageError(f"--nproc {options.nproc}: the cluster has {gpus} GPUs")
        return options.nproc or gpus, 1, 1
    most = CORES if options.nproc is None else cores // options.nproc
    for each in range(most, 0, -1):
        places = sum(int(node.get("CPU", 0)) // each for node in nodes)
        if places >= (options.nproc or 1):
            return options.nproc or places, each, 0
    raise UsageError(f"--nproc {options.nproc or 1}: the cluster has {cores} cores")


@dataclass
class _Task:
    worker: Hashable
    jobs: list[Job] | None
    """None while the worker starts."""
    again: bool = False
    """Whether a worker died that had these photos."""


class Fleet:
    """The workers of one run, which start at once."""

    def __init__(self, cluster: Cluster, *, overwrite: bool) -> None:
        self._cluster = cluster
        self._overwrite = overwrite
        self._tasks: dict[Hashable, _Task] = {}
        self._load: dict[Hashable, int] = {}  # tasks of each worker that has started
        self._living: set[Hashable] = set()
        self._first: Ready | None = None
        self._fresh: deque[Job] = deque()
        self._again: deque[Job] = deque()
        self._tries: Counter[int] = Counter()
        self._stillborn = 0
        self._report: Callable[[Entry], None] = lambda entry: None
        self.seconds: dict[str, float] = {}
        for _ in range(cluster.size):
            self._hire()

    @property
    def batch(self) -> int:
        """Photos of equal size that a worker runs together."""
        return self._ready().batch

    def place(self) -> str:
        """How many workers there are and on what, for people."""
        place = self._ready().place
        return f"{self._cluster.size} {'worker' if self._cluster.size == 1 else 'workers'}, {place}"

    def _ready(self) -> Ready:
        """What the first worker reports when it has loaded the model. Raises the error that keeps it from that."""
        with reported_if_long("waiting for the first worker to load the model"):
            while self._first is None:
                self._attend()
        return self._first

    def run(self, jobs: Iterable[Job], report: Callable[[Entry], None]) -> None:
        """Do all of them, and ``report`` each as its task ends."""
        self._report = report
        self._fresh.extend(jobs)
        try:
            while self._fresh or self._again or any(task.jobs is not None for task in self._tasks.values()):
                self._hand_out()
                if self._tasks:
                    self._attend()
        except BaseException:
            self._stop()
            raise

    def _hand_out(self) -> None:
        while idle := [worker for worker, load in self._load.items() if load < DEPTH]:
            worker = min(idle, key=lambda worker: self._load[worker])
            if jobs := self._some():
                self._give(worker, jobs)
            elif self._again and not self._load[worker]:
                # By itself and alone on its worker, so that it is clear which photo is the cause if this one dies, too.
                self._give(worker, [self._again.popleft()], again=True)
            else:
                return

    def _some(self) -> list[Job]:
        """The photos of the next task."""
        most = max(1, min(MOST * self.batch, len(self._fresh) // (SHARES * self._cluster.size)))
        jobs: list[Job] = []
        while self._fresh and len(jobs) < most:
            job = self._fresh.popleft()
            # Found out before anybody is at work on it, so that a result that is there later was written by this run.
            path = None if job.refusal is not None else written(job, overwrite=self._overwrite)
            if path is None:
                jobs.append(job)
            else:
                with suppress(OSError):
                    remove_if_dead(claim_path(job.target))
                self._report(entry_of(job, "skipped", output=path))
        return jobs

    def _give(self, worker: Hashable, jobs: list[Job], *, again: bool = False) -> None:
        self._tasks[self._cluster.give(worker, jobs)] = _Task(worker, jobs, again)
        self._load[worker] += DEPTH if again else 1

    def _hire(self) -> None:
        worker, ticket = self._cluster.hire()
        self._living.add(worker)
        self._tasks[ticket] = _Task(worker, None)

    def _attend(self) -> None:
        for ticket in self._cluster.finished(list(self._tasks), WAIT):
            task = self._tasks.pop(ticket)
            try:
                outcome = self._cluster.outcome(ticket)
            except WorkerDiedError:
                self._bury(task)
                continue
            if isinstance(outcome, Failure):
                raise FleetError(outcome.message, outcome.exit_code)
            if isinstance(outcome, Ready):
                self._first = self._first or outcome
                self._stillborn = 0
                self._load[task.worker] = 0
            else:
                self._take(task, outcome)

    def _take(self, task: _Task, outcome: Outcome) -> None:
        if task.worker in self._load:
            self._load[task.worker] -= DEPTH if task.again else 1
        for stage, seconds in outcome.seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
        for entry in outcome.entries:
            # What the dead worker wrote before it could report it was done by this run.
            posthumous = task.again and entry["status"] == "skipped"
            self._report(entry | {"status": "done"} if posthumous else entry)
        if outcome.failure is not None:
            raise FleetError(outcome.failure.message, outcome.failure.exit_code)

    def _bury(self, task: _Task) -> None:
        """Put the photos of a dead worker back, and start another worker."""
        for job in task.jobs or ():
            self._tries[job.number] += 1
            if self._tries[job.number] < TRIES:
                self._again.append(job)
            else:
                self._report(entry_of(job, "failed", reason=f"{TRIES} workers died while they had it"))
        if task.worker not in self._living:  # another of its tasks came first
            return
        self._living.remove(task.worker)
        self._load.pop(task.worker, None)
        self._cluster.dismiss(task.worker)
        self._stillborn += task.jobs is None
        if self._stillborn < STARTS:
            self._hire()
        elif not self._living:
            raise FleetError(f"{STARTS} workers in a row died while they loaded the model; is there enough memory?")

    def _stop(self) -> None:
        """Let the workers finish what they are writing."""
        for worker in self._load:
            self._cluster.stop(worker)
        open_ = [ticket for ticket, task in self._tasks.items() if task.jobs is not None]
        with suppress(Exception):
            while open_ and (ended := self._cluster.finished(open_, FAREWELL)):
                open_ = [ticket for ticket in open_ if ticket not in ended]
