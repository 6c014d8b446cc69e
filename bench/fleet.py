"""``gantk infer --engine ray`` on this machine: what a killed worker costs, and what handing photos out costs.

    python bench/fleet.py killed --count 2000 --nproc 2
    python bench/fleet.py overhead --count 2000 --nproc 8 --ms 50 [--on threads]

``killed``: generated photos through a fresh CycleGAN generator of a few channels, by one process and by a fleet of
which one worker is killed (SIGKILL) when half of the results are there. The files must be the same, byte for byte, and
each photo be reported once, as done. Exit code 1 where they are not.

``overhead``: workers that sleep so long for each photo instead of computing, one photo at a time. ``plain`` is as many
threads that sleep as often, each for its part of the photos, in turn with the fleet; ``overhead`` is how much longer
the fleet takes, its start left out; ``cpu`` is the processor's time for each photo in the process that hands them out.
With ``--on threads`` the workers are threads of that process, which leaves the scheduler alone, without Ray.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

import ray
import torch
from soak import SoakError, same_tree
from tables import add_json, append, row, spread, tell_machine

from gantk_cyclegan import CycleGAN
from infer import draw
from translate.console import Console, using
from translate.contract import DataSpec
from translate.infer import ray_cluster
from translate.infer.entries import entry_of
from translate.infer.fleet import Fleet
from translate.infer.folder import infer
from translate.infer.options import InferOptions
from translate.infer.plan import Job
from translate.infer.ray_cluster import RayCluster
from translate.infer.summary import Entry
from translate.infer.worker import DEPTH, Failure, Outcome, Ready, Worker
from translate.modelfile.model import build_nets, load_published
from translate.modelfile.write import save_published

PROCESSES = "GANTK_BENCH_PROCESSES"
"""Names the folder in which each worker leaves the number of its process."""


class Known(Worker):
    """A worker that leaves the number of its process where the bench finds it."""

    def start(self) -> Ready | Failure:
        """As a `Worker`."""
        (Path(os.environ[PROCESSES]) / str(os.getpid())).touch()
        return super().start()


class Counted(RayCluster):
    """A cluster of which it is known when all workers have started."""

    def __init__(self, worker: type, order: object, size: int, cpus: float, gpus: float) -> None:
        super().__init__(worker, order, size, cpus, gpus)
        self.starts: list[Hashable] = []

    def hire(self) -> tuple[Hashable, Hashable]:
        """As a `RayCluster`."""
        worker, start = super().hire()
        self.starts.append(start)
        return worker, start


class Threads:
    """A cluster whose workers are threads, each with as many tasks at once as a worker may have."""

    def __init__(self, worker: Callable[[float], Sleeper], order: float, size: int) -> None:
        self.size = size
        self._worker, self._order = worker, order
        self._pools: list[ThreadPoolExecutor] = []

    def hire(self) -> tuple[Hashable, Hashable]:
        """A worker, which is ready at once."""
        worker, pool = self._worker(self._order), ThreadPoolExecutor(DEPTH)
        self._pools.append(pool)
        return (worker, pool), pool.submit(worker.start)

    def give(self, worker: Any, jobs: Sequence[Job]) -> Hashable:
        """Hand photos to a worker."""
        sleeper, pool = worker
        ticket: Hashable = pool.submit(sleeper.do, jobs)
        return ticket

    def finished(self, tickets: Sequence[Any], seconds: float) -> Sequence[Hashable]:
        """The tickets that have an outcome."""
        return list(wait(tickets, timeout=seconds, return_when=FIRST_COMPLETED).done)

    def outcome(self, ticket: Any) -> Any:
        """What came of a ticket."""
        return ticket.result()

    def stop(self, worker: Hashable) -> None:
        """There is nothing to finish."""

    def dismiss(self, worker: Hashable) -> None:
        """There is nothing to end."""


class Sleeper:
    """A worker that sleeps instead of computing, ``order`` seconds for each photo; two tasks at once share it."""

    def __init__(self, order: float) -> None:
        self._seconds = order
        self._busy = threading.Lock()

    def start(self) -> Ready:
        """There is no model to load."""
        return Ready("asleep", 1)

    def do(self, jobs: Sequence[Job]) -> Outcome:
        """Sleep for each photo."""
        entries: list[Entry] = []
        for job in jobs:
            with self._busy:
                self.sleep(1)
            entries.append(entry_of(job, "done", output=job.target))
        return Outcome(entries)

    def sleep(self, times: int) -> None:
        """Do so many photos."""
        for _ in range(times):
            time.sleep(self._seconds)

    def stop(self) -> None:
        """There is nothing to finish."""


def publish(path: Path, width: int) -> None:
    """A fresh CycleGAN of so many channels as a model file."""
    torch.manual_seed(0)
    task, data = CycleGAN(width=width, blocks=1), DataSpec(64, {"a": 3, "b": 3})
    roles = {role for direction in task.directions(data) for role in direction.roles}
    tensors = build_nets(task, data, sorted(roles)).state_dict()
    save_published(path, plugin="cyclegan", task=task, data=data, tensors=tensors, weights="raw", step=0)


def killed(given: argparse.Namespace, room: Path) -> dict[str, Any]:
    """One process, and a fleet of which one worker is killed."""
    photos, processes = room / "photos", room / "processes"
    photos.mkdir()
    processes.mkdir()
    draw(photos, given.count, given.side, given.side, ".png")
    publish(room / "model.safetensors", given.width)
    model = load_published(room / "model.safetensors")
    alone = infer(model, [photos], room / "alone", InferOptions(device="cpu"))
    ray_cluster.Worker = Known  # type: ignore[misc]
    os.environ[PROCESSES] = str(processes)
    victims: list[int] = []
    records: list[Any] = []

    def record(entry: Any) -> None:
        records.append(entry)
        if not victims and len(records) >= given.count // 2:
            victims.append(int(next(processes.iterdir()).name))
            os.kill(victims[0], signal.SIGKILL)

    with using(Console(quiet=True, records=record)):
        options = InferOptions(engine="ray", nproc=given.nproc, device="cpu")
        fleet = infer(model, [photos], room / "fleet", options)
    same_tree(room / "fleet", room / "alone")
    statuses, reported = Counter(entry["status"] for entry in records), len({entry["input"] for entry in records})
    started = len(list(processes.iterdir()))
    if statuses != {"done": given.count} or reported != given.count or fleet.exit_code or started != given.nproc + 1:
        raise SoakError(f"{dict(statuses)}, {reported} of {given.count} reported, {started} workers: {fleet.failures}")
    return {"alone": alone.seconds["total"], "fleet": fleet.seconds["total"], "workers": started}


def overhead(given: argparse.Namespace, room: Path) -> list[tuple[float, float, float]]:
    """Seconds of each round: without a fleet, with one, and those of the latter that this process was at work."""
    names = [f"{number:06}.png" for number in range(given.count)]
    jobs = [
        Job(i, Path(name), room, room / name, room / name, "PNG", True, True, PurePath(name))
        for i, name in enumerate(names)
    ]
    times = []
    for _ in range(given.rounds):
        began = time.perf_counter()
        with ThreadPoolExecutor(given.nproc) as pool:
            for _ in range(given.nproc):
                pool.submit(Sleeper(given.ms / 1000).sleep, given.count // given.nproc)
        plain = time.perf_counter() - began
        with _sleepers(given) as cluster:
            fleet = Fleet(cluster, overwrite=False)
            if isinstance(cluster, Counted):
                ray.wait(cluster.starts, num_returns=given.nproc)
            entries: list[Entry] = []
            began, worked = time.perf_counter(), time.process_time()
            fleet.run(jobs, entries.append)
            times.append((plain, time.perf_counter() - began, time.process_time() - worked))
        if len({entry["input"] for entry in entries}) != len(entries) or len(entries) != given.count:
            raise SoakError(f"{len(entries)} of {given.count} photos reported")
    return times


@contextmanager
def _sleepers(given: argparse.Namespace) -> Iterator[Counted | Threads]:
    if given.on == "threads":
        yield Threads(Sleeper, given.ms / 1000, given.nproc)
        return
    ray.init(address="local", num_cpus=given.nproc, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        yield Counted(Sleeper, given.ms / 1000, given.nproc, 1, 0)
    finally:
        ray.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["killed", "overhead"])
    parser.add_argument("--count", type=int, default=2000, help="photos")
    parser.add_argument("--nproc", type=int, default=2, help="workers")
    parser.add_argument("--side", type=int, default=64, help="of the photos of killed, in pixels")
    parser.add_argument("--width", type=int, default=8, help="channels of its network")
    parser.add_argument("--ms", type=float, default=50.0, help="that a worker of overhead sleeps for a photo")
    parser.add_argument("--on", choices=["ray", "threads"], default="ray", help="what the workers of overhead are")
    parser.add_argument("--rounds", type=int, default=3, help="of overhead")
    add_json(parser)
    given = parser.parse_args()
    setting = {"what": given.what, "count": given.count, "nproc": given.nproc}
    with tempfile.TemporaryDirectory() as place:
        if given.what == "killed":
            found = killed(given, Path(place))
            row(("photos", "one process s", "fleet s", "workers"), (8, 14, 10, 9))
            row((str(given.count), found["alone"], found["fleet"], found["workers"]), (8, 14, 10, 9))
            print("the same files, byte for byte, and each photo done once, with one worker killed")
        else:
            plain, seconds, worked = zip(*overhead(given, Path(place)), strict=True)
            over = [100 * (ours / alone - 1) for ours, alone in zip(seconds, plain, strict=True)]
            found = {"on": given.on, "ms": given.ms, "plain": plain, "seconds": seconds, "worked": worked}
            widths = (8, 8, 26, 26, 24, 22)
            row(("workers", "photos", "plain s", "fleet s", "overhead %", "cpu ms"), widths)
            figures = spread(plain), spread(seconds), spread(over, 1), spread(worked, 2, 1000 / given.count)
            row((str(given.nproc), given.count, *figures), widths)
    append(given.json, "fleet", setting | found)
    tell_machine()


if __name__ == "__main__":
    try:
        main()
    except SoakError as error:
        raise SystemExit(f"bench/fleet.py: {error}") from None
