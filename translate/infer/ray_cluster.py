"""Workers as actors of Ray, on this machine or on a cluster."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from translate.console import current
from translate.errors import UsageError, named_line
from translate.files import make_folder, remove_leftovers, temporary_beside
from translate.infer.fleet import FleetError, WorkerDiedError, room
from translate.infer.options import InferOptions
from translate.infer.plan import Job
from translate.infer.worker import DEPTH, Failure, Order, Outcome, Ready, Worker

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports its use to its makers unless forbidden
os.environ.setdefault("RAY_worker_niceness", "0")  # of a cluster started here; 15 would starve it beside anything else
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")  # its messages go to stdout, which is for results
import ray

REACH, JOIN = 5.0, 30.0
"""Seconds for which an address may take to accept a connection, and a cluster to let a process in."""

_JOIN = "import sys, ray; ray.init(address=sys.argv[1], log_to_driver=False, logging_level='ERROR')"


class RayCluster:
    """Actors of one class. ``cpus``, ``gpus``: of each."""

    def __init__(self, worker: type, order: object, size: int, cpus: float, gpus: float) -> None:
        self.size = size
        self.dismissed = 0
        self._order = order
        self._actor = ray.remote(
            num_cpus=cpus, num_gpus=gpus, max_restarts=0, max_task_retries=0, max_concurrency=DEPTH + 1
        )(worker)

    def hire(self) -> tuple[Hashable, Hashable]:
        """Begin to start a worker."""
        actor = self._actor.remote(self._order)
        return actor, actor.start.remote()

    def give(self, worker: Any, jobs: Sequence[Job]) -> Hashable:
        """Hand photos to a worker."""
        ticket: Hashable = worker.do.remote(jobs)
        return ticket

    def finished(self, tickets: Sequence[Hashable], seconds: float) -> Sequence[Hashable]:
        """The tickets that have an outcome."""
        ended, others = ray.wait(list(tickets), timeout=seconds)
        more, _ = ray.wait(others, num_returns=len(others), timeout=0) if others else ([], [])
        return [*ended, *more]

    def outcome(self, ticket: Any) -> Ready | Failure | Outcome:
        """What came of a ticket."""
        try:
            found: Ready | Failure | Outcome = ray.get(ticket)
            return found
        except ray.exceptions.RayTaskError as error:
            raise FleetError(f"a worker failed ({named_line(error.cause)})") from error
        except ray.exceptions.RayError:
            raise WorkerDiedError from None

    def stop(self, worker: Any) -> None:
        """Make a worker end its tasks early."""
        worker.stop.remote()

    def dismiss(self, worker: Any) -> None:
        """Be rid of a worker."""
        self.dismissed += 1
        with suppress(ray.exceptions.RayError):
            ray.kill(worker)


@contextmanager
def ray_cluster(model: Path, out: Path, options: InferOptions) -> Iterator[RayCluster]:
    """The cluster that the options name, or one that is started here and ends with the ``with`` statement.

    Raises ``UsageError`` for an address without a cluster and for more workers than it has room for, within seconds.
    """
    with _connected(options.address):
        size, cpus, gpus = room(options, [node["Resources"] for node in ray.nodes() if node["Alive"]])
        make_folder(out, f"--out {out}")
        proof = temporary_beside(out / "workers")
        proof.touch()
        cluster = RayCluster(Worker, Order(model, out, options, Path.cwd(), proof), size, cpus, gpus)
        try:
            yield cluster
        finally:
            proof.unlink(missing_ok=True)
            if cluster.dismissed:  # dead workers may have left half a file
                remove_leftovers(out, below=True)


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    if ray.is_initialized():
        raise UsageError("--engine ray: this process uses Ray already; expected it to be shut down")
    if address is not None:
        _probe(address)
    before = signal.getsignal(signal.SIGTERM)
    where: dict[str, Any] = (
        {"address": "local", "include_dashboard": False} if address is None else {"address": address}
    )
    try:
        try:
            ray.init(**where, log_to_driver=False, logging_level="ERROR")
        except (OSError, RuntimeError, ValueError) as error:
            raise FleetError(f"--engine ray: {named_line(error)}") from error
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # which Ray replaces
        yield
    finally:
        ray.shutdown()


def _probe(address: str) -> None:
    """Raise ``UsageError`` where the cluster does not let a process in: Ray itself waits for minutes, or aborts."""
    if address != "auto":
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), REACH).close()
        except (OSError, OverflowError) as error:
            raise UsageError(f"--address {address}: no connection ({named_line(error)})") from None
    current().detail(f"joining the Ray cluster at {address}")
    try:
        ended = subprocess.run(
            [sys.executable, "-c", _JOIN, address], capture_output=True, text=True, timeout=JOIN, check=False
        )
    except subprocess.TimeoutExpired:
        raise UsageError(f"--address {address}: no Ray cluster let this process in within {JOIN:.0f} s") from None
    if ended.returncode:
        reason = next(reversed([line for line in ended.stderr.splitlines() if line.strip()]), "")
        raise UsageError(f"--address {address}: no Ray cluster lets this process in ({reason})")
