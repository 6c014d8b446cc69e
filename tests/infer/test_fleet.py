"""Photos handed out to workers that die: what is done, by whom, and what is reported. Without Ray."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import pytest
from infer_fakes import publish
from torch import nn

from translate.errors import GantkError, UsageError
from translate.infer.entries import entry_of, written
from translate.infer.fleet import MOST, SHARES, STARTS, TRIES, Fleet, FleetError, WorkerDiedError, room
from translate.infer.folder import infer
from translate.infer.options import InferOptions
from translate.infer.plan import Job
from translate.infer.summary import Tally
from translate.infer.worker import DEPTH, Failure, Outcome, Ready


def jobs_in(out: Path, count: int) -> list[Job]:
    names = [f"{i:03}.png" for i in range(count)]
    return [
        Job(i, Path("in") / name, out, out / name, out / name, "PNG", True, True, PurePath(name))
        for i, name in enumerate(names)
    ]


def safe(worker: int, job: Job) -> None:
    """What no photo does to a worker."""


@dataclass
class Simulated:
    """Workers of which each does its oldest task when it is looked at; ``act`` may raise ``WorkerDiedError``."""

    size: int = 2
    act: Callable[[int, Job], None] = safe
    begin: Callable[[int], Ready | Failure] = lambda worker: Ready("cpu (fp32)", 1)
    done: list[tuple[int, str]] = field(default_factory=list)
    given: list[tuple[int, int]] = field(default_factory=list)
    dead: set[int] = field(default_factory=set)
    stopped: list[Hashable] = field(default_factory=list)
    tasks: dict[int, tuple[int, Sequence[Job] | None]] = field(default_factory=dict)
    numbers: Any = field(default_factory=itertools.count)

    def hire(self) -> tuple[Hashable, Hashable]:
        worker, ticket = next(self.numbers), next(self.numbers)
        self.tasks[ticket] = (worker, None)
        return worker, ticket

    def give(self, worker: Any, jobs: Sequence[Job]) -> Hashable:
        ticket = next(self.numbers)
        self.tasks[ticket] = (worker, jobs)
        self.given.append((worker, len(jobs)))
        assert sum(owner == worker for owner, _ in self.tasks.values()) <= DEPTH
        return ticket

    def finished(self, tickets: Sequence[Any], seconds: float) -> Sequence[Hashable]:
        assert set(tickets) <= self.tasks.keys()
        oldest: dict[int, Any] = {}
        for ticket in sorted(tickets):
            oldest.setdefault(self.tasks[ticket][0], ticket)
        return list(oldest.values())

    def outcome(self, ticket: Any) -> Ready | Failure | Outcome:
        worker, jobs = self.tasks.pop(ticket)
        if worker in self.dead:
            raise WorkerDiedError
        try:
            return self.begin(worker) if jobs is None else Outcome([self.do(worker, job) for job in jobs])
        except WorkerDiedError:
            self.dead.add(worker)
            raise

    def do(self, worker: int, job: Job) -> dict[str, Any]:
        if (path := written(job, overwrite=False)) is not None:
            return entry_of(job, "skipped", output=path)
        self.act(worker, job)
        job.target.write_bytes(b"result")
        self.done.append((worker, job.path.name))
        return entry_of(job, "done", output=job.target)

    def stop(self, worker: Hashable) -> None:
        self.stopped.append(worker)

    def dismiss(self, worker: Any) -> None:
        self.dead.add(worker)


def run(cluster: Simulated, jobs: Sequence[Job]) -> tuple[Tally, Counter[str]]:
    entries: list[dict[str, Any]] = []
    tally = Tally()

    def report(entry: dict[str, Any]) -> None:
        entries.append(entry)
        tally(entry)

    Fleet(cluster, overwrite=False).run(jobs, report)
    assert len({entry["input"] for entry in entries}) == len(entries) == len(jobs)
    return tally, Counter(entry["status"] for entry in entries)


def test_all_are_done_once_by_all_workers(tmp_path: Path) -> None:
    cluster = Simulated(3)
    _, statuses = run(cluster, jobs_in(tmp_path, 200))
    assert statuses == {"done": 200}
    assert len(cluster.done) == 200
    assert len({worker for worker, _ in cluster.done}) == 3


def test_tasks_shrink_towards_the_end(tmp_path: Path) -> None:
    cluster = Simulated(2)
    run(cluster, jobs_in(tmp_path, 200))
    sizes = [size for _, size in cluster.given]
    assert sizes == sorted(sizes, reverse=True)
    assert (sizes[0], sizes[-1]) == (MOST, 1)
    assert sizes[-2 * SHARES :] == [1] * 2 * SHARES


def test_a_dead_worker_costs_what_it_was_at_work_on_and_what_it_wrote_counts_as_done(tmp_path: Path) -> None:
    killed: set[str] = set()

    def act(worker: int, job: Job) -> None:
        if job.path.name in ("021.png", "050.png") and job.path.name not in killed:
            killed.add(job.path.name)
            raise WorkerDiedError

    cluster = Simulated(2, act)
    tally, statuses = run(cluster, jobs_in(tmp_path, 100))
    assert len(killed) == 2
    assert statuses == {"done": 100}
    assert tally.summary.exit_code == 0
    assert len({name for _, name in cluster.done}) == len(cluster.done) == 100
    assert len({worker for worker, _ in cluster.done}) == 4  # each dead one was replaced


def test_what_an_earlier_run_did_is_skipped_and_not_handed_out(tmp_path: Path) -> None:
    jobs = jobs_in(tmp_path, 20)
    for job in jobs[5:15]:
        job.target.write_bytes(b"earlier")
    died: list[int] = []

    def act(worker: int, job: Job) -> None:
        if not died:
            died.append(worker)
            raise WorkerDiedError

    cluster = Simulated(2, act)
    _, statuses = run(cluster, jobs)
    assert statuses == {"done": 10, "skipped": 10}
    assert jobs[5].target.read_bytes() == b"earlier"


def test_a_photo_that_kills_whoever_has_it_fails_in_the_end_by_itself(tmp_path: Path) -> None:
    victims: Counter[int] = Counter()

    def act(worker: int, job: Job) -> None:
        if job.path.name == "007.png":
            victims[worker] += 1
            raise WorkerDiedError

    cluster = Simulated(2, act)
    tally, statuses = run(cluster, jobs_in(tmp_path, 40))
    assert statuses == {"done": 39, "failed": 1}
    assert tally.summary.failures == [("in/007.png", f"{TRIES} workers died while they had it")]
    assert tally.summary.exit_code == 3
    assert sum(victims.values()) == TRIES
    assert len(cluster.done) == 39


def test_a_worker_that_cannot_start_ends_the_run_with_its_own_words() -> None:
    fleet = Fleet(Simulated(begin=lambda worker: Failure("--set domain=x: expected winter", 2)), overwrite=False)
    with pytest.raises(GantkError, match="--set domain=x: expected winter") as raised:
        fleet.place()
    assert raised.value.exit_code == 2


def test_workers_that_die_while_they_load_the_model_are_not_replaced_for_ever() -> None:
    def begin(worker: int) -> Ready:
        raise WorkerDiedError

    cluster = Simulated(2, begin=begin)
    with pytest.raises(FleetError, match="died while they loaded the model"):
        Fleet(cluster, overwrite=False).place()
    assert len(cluster.dead) < 2 + STARTS


def test_a_full_disk_ends_the_run(tmp_path: Path) -> None:
    class Full(Simulated):
        def outcome(self, ticket: Any) -> Ready | Failure | Outcome:
            outcome = super().outcome(ticket)
            return Outcome([], {}, Failure("the disk is full", 1)) if isinstance(outcome, Outcome) else outcome

    cluster = Full(2)
    with pytest.raises(FleetError, match="the disk is full"):
        Fleet(cluster, overwrite=False).run(jobs_in(tmp_path, 400), lambda entry: None)
    assert len(cluster.done) <= 2 * DEPTH * MOST
    assert len(cluster.stopped) == 2


def test_an_interrupted_run_stops_its_workers_and_waits_for_what_they_write(tmp_path: Path) -> None:
    def interrupt(entry: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    class Slow(Simulated):
        def finished(self, tickets: Sequence[Any], seconds: float) -> Sequence[Hashable]:
            return tickets[:1]

    cluster = Slow(2)
    with pytest.raises(KeyboardInterrupt):
        Fleet(cluster, overwrite=False).run(jobs_in(tmp_path, 40), interrupt)
    assert len(cluster.stopped) >= 1


@pytest.mark.parametrize(
    ("options", "nodes", "expected"),
    [
        ({}, [{"CPU": 16.0}], (4, 4, 0)),
        ({}, [{"CPU": 2.0}, {"CPU": 2.0}], (2, 2, 0)),
        ({}, [{"CPU": 6.0}, {"CPU": 9.0}, {}], (3, 4, 0)),
        ({"nproc": 3}, [{"CPU": 4.0}, {"CPU": 4.0}], (3, 2, 0)),
        ({"nproc": 5}, [{"CPU": 4.0}, {"CPU": 4.0}], (5, 1, 0)),
        ({}, [{"CPU": 16.0, "GPU": 2.0}, {"CPU": 64.0}], (2, 1, 1)),
        ({"device": "cpu", "nproc": 2}, [{"CPU": 16.0, "GPU": 2.0}], (2, 8, 0)),
    ],
)
def test_room(options: dict[str, Any], nodes: list[dict[str, float]], expected: tuple[int, int, int]) -> None:
    assert room(InferOptions(engine="ray", **options), nodes) == expected


@pytest.mark.parametrize(
    ("options", "nodes", "message"),
    [
        ({"nproc": 3}, [{"CPU": 2.0}], "--nproc 3: the cluster has 2 cores"),
        ({"nproc": 3}, [{"CPU": 9.0, "GPU": 2.0}], "--nproc 3: the cluster has 2 GPUs"),
        ({"device": "cuda"}, [{"CPU": 9.0}], "--device cuda: the cluster has no GPU"),
        ({}, [{}], "--nproc 1: the cluster has 0 cores"),
    ],
)
def test_no_room(options: dict[str, Any], nodes: list[dict[str, float]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        room(InferOptions(engine="ray", **options), nodes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nproc": 2}, "--nproc 2: expected --engine ray"),
        ({"address": "auto"}, "--address auto: expected --engine ray"),
        ({"engine": "ray", "address": "ray://x"}, "--address ray://x: expected auto or HOST:PORT"),
        ({"engine": "ray", "device": "cuda:1"}, "--device cuda:1: expected auto, cpu or cuda"),
    ],
)
def test_wrong_combinations_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        InferOptions(**options)


def test_without_ray_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translate.infer.folder.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"ray is not installed; expected pip install 'gantk\[ray\]'"):
        infer(publish(nn.Identity()), [tmp_path], tmp_path / "out", InferOptions(engine="ray"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="not torchrun"):
        infer(publish(nn.Identity()), [tmp_path], tmp_path / "out", InferOptions(engine="ray"))
