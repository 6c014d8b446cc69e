"""The three stages of ``gantk infer``, at work at the same time.

Threads decode ahead, the calling thread runs the network, threads encode what it gives.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import RLock
from typing import Any

from translate.data.decode import open_file
from translate.errors import GantkError
from translate.infer.claims import Claim, Claims, claim_path, remove_if_dead
from translate.infer.entries import entry_of, seed_of, written
from translate.infer.gate import Gate
from translate.infer.journal import discard_unfinished
from translate.infer.large import LargePhotos
from translate.infer.loading import PhotoReader
from translate.infer.options import InferOptions
from translate.infer.outputs import DiskFullError, write_result
from translate.infer.photos import Photo, reason_of
from translate.infer.plan import RAW, Job
from translate.infer.result import Result
from translate.infer.runner import Network
from translate.infer.sequence import clips_of
from translate.infer.summary import Entry, Status
from translate.infer.trial import PROOF, can_fork, survives
from translate.infer.unfinished import StoppedError
from translate.infer.writing import Writer

RETRY = 0.2
"""Seconds between two looks at photos that another process is doing."""

IN_FLIGHT = 96_000_000
"""Pixels, of inputs and results, that are between reading and written at once (unless a single photo has more)."""


@dataclass
class _Decoded:
    """A photo on its way, whole or to be read window by window, or why there is none."""

    job: Job
    photo: Photo | None = None
    reason: str = ""
    weight: int = 0
    seconds: float = 0.0
    """Spent on it so far, waiting left out."""
    large: bool = False


class Stages:
    """The three stages over one list of jobs."""

    def __init__(self, network: Network, lock: RLock, options: InferOptions) -> None:
        on_gpu = network.device.type != "cpu"
        self.network = network
        self.lock = lock
        self.options = options
        self.reader, self.writer = PhotoReader(network, options), Writer(network, options)
        self.large = LargePhotos(network, options)
        self.seconds = {"decode": 0.0, "network": 0.0, "encode": 0.0}
        self.workers = options.workers or min(os.cpu_count() or 1, 8 if on_gpu else 2)
        self.batch = options.batch or (8 if on_gpu else 1)
        with lock:
            if self.batch > 1 and network.draws_noise():  # each photo has its own, whatever else is in the folder
                self.batch = 1
        self.in_order = network.direction.sequence
        if self.in_order:
            self.batch = 1
        self._claimed: dict[int, Claim] = {}
        self._elsewhere: list[Job] = []
        self._leading: set[int] = set()  # photos that a later one of their clip needs, even where they have a result
        self._clock = threading.Lock()
        self._stopping = threading.Event()
        self._encoding: deque[tuple[_Decoded, Result, Future[tuple[Path, list[str]]]]] = deque()

    def place(self) -> str:
        """Device and precision, for people."""
        return f"{self.network.device.type} ({self.network.precision})"

    def stop(self) -> None:
        """Make ``run``, which another thread is in, finish the files that it is writing and begin no other."""
        self._stopping.set()

    def run(self, jobs: Iterable[Job], report: Callable[[Entry], None]) -> None:
        """Do all of them, each taken when its turn comes, and ``report`` each; returns when the last result is on the
        disk, or after ``stop``."""
        self.report = report
        self.gate, self._ticket = Gate(IN_FLIGHT), 0
        self._suspects: list[tuple[int, Job]] = []  # deaths, photo
        self.claims = Claims()
        self.claims.start()
        decoders = ThreadPoolExecutor(self.workers, "decode")
        encoders = ThreadPoolExecutor(self.workers, "encode")
        try:
            if self.in_order:
                for clip in clips_of(jobs):
                    self._begin(clip)
                    self._work(clip, decoders, encoders, alone=True)
            else:
                self._work(jobs, decoders, encoders)
            for _, job in sorted(self._suspects, key=lambda suspect: suspect[0]):
                self._work([job], decoders, encoders, alone=True)  # so that it is clear which one it is
        finally:
            self.gate.close()
            for pool in (decoders, encoders):
                pool.shutdown(wait=True, cancel_futures=True)
            self.claims.close()

    def _begin(self, jobs: Sequence[Job]) -> None:
        """Before the photos of a clip, of which those before the last missing result are all run."""
        self.network.handed.restart()
        missing = [place for place, job in enumerate(jobs) if self._written(job) is None]
        self._leading = {job.number for job in jobs[: missing[-1]]} if missing else set()

    def _work(
        self, jobs: Iterable[Job], decoders: ThreadPoolExecutor, encoders: ThreadPoolExecutor, *, alone: bool = False
    ) -> None:
        fresh, todo, waiting = iter(jobs), deque[Job](), deque[Future[_Decoded]]()
        while not self._stopping.is_set():
            while len(waiting) < self.workers + 2 * self.batch and (job := self._next(todo, fresh, alone)) is not None:
                waiting.append(decoders.submit(self._decode, job, self._ticket))
                self._ticket += 1
            if waiting:
                self._translate(self._next_batch(waiting), encoders)
                self._collect(most=2 * self.workers)
                continue
            self._collect(most=0)
            if not (self._elsewhere or todo):
                return
            time.sleep(RETRY)
            todo.extend(self._elsewhere)
            self._elsewhere.clear()

    def _next(self, todo: deque[Job], fresh: Iterator[Job], alone: bool) -> Job | None:
        """The next photo that this process is to do, which is ours from now on; the fresh ones after ``todo``."""
        while (job := todo.popleft() if todo else next(fresh, None)) is not None:
            if job.refusal is not None:
                return job
            if not self._to_do(job):
                continue
            try:
                claim = self.claims.take(job.target)
            except OSError as error:
                return replace(job, refusal=f"cannot write {job.target.name}: {error.strerror or error}")
            if claim is None and self.in_order:
                todo.appendleft(job)
                return None
            if claim is None:
                self._elsewhere.append(job)
                continue
            if claim.deaths and not alone:
                self.claims.release(claim, keep=True)
                self._suspects.append((claim.deaths, job))
            elif claim.deaths > 1 and not self._survivable(job, claim.deaths):
                self.claims.release(claim, keep=True)
                reason = (
                    f"{claim.deaths} processes died while they worked on it; "
                    f"delete {claim.path.name} beside its result to try it again"
                )
                return replace(job, refusal=reason)
            else:
                self._claimed[job.number] = claim
                if self._to_do(job):  # another process may just have ended it
                    return job
        return None

    def _written(self, job: Job) -> Path | None:
        return written(job, overwrite=self.options.overwrite)

    def _to_do(self, job: Job) -> bool:
        path = self._written(job)
        if path is None or job.number in self._leading:
            return True
        with suppress(OSError):
            remove_if_dead(claim_path(job.target))
            discard_unfinished(job.target)
        self._finish(job, "skipped", output=path)
        return False

    def _survivable(self, job: Job, deaths: int) -> bool:
        """Whether a photo on which processes died may be done here.

        Deaths alone prove nothing: whoever kills processes at random hits the same photo twice before long. What proves
        it is a copy of this process that dies of it too. Where none can be started, the deaths have to do.
        """
        if not can_fork(self.network.device) or self.large.concerns(job):  # which takes too long
            return deaths < PROOF
        with self.lock:
            return survives(lambda: self._try(job))

    def _try(self, job: Job) -> None:
        with open_file(job.path, self.network.inputs[0].reading) as opened:
            self.reader.weight(opened)
            photo = self.reader.photo(job, opened)
        (result,) = self._run([photo], job)
        with tempfile.TemporaryFile(prefix="gantk-") as file:
            self.writer.write(
                file, job.format if self.writer.unfit(job, photo, result) is None else "PNG", job, photo, result
            )

    def _decode(self, job: Job, ticket: int) -> _Decoded:
        weight, entered = 0, False
        if job.refusal is not None:
            self.gate.enter(ticket, 0)
            return _Decoded(job, None, job.refusal)
        claim = self._claimed[job.number]
        claim.note("decode")
        try:
            if self.large.takes(job):
                self.gate.enter(ticket, 0)
                return _Decoded(job, large=True)
            with open_file(job.path, self.network.inputs[0].reading) as opened:
                weight = self.reader.weight(opened)
                entered = True
                if not self.gate.enter(ticket, weight):
                    return _Decoded(job, None, "stopped", weight)
                start = time.perf_counter()
                try:
                    photo = self.reader.photo(job, opened)
                finally:
                    self._spent("decode", start)
                    claim.note("waiting")
                return _Decoded(job, photo, "", weight, time.perf_counter() - start)
        except GantkError as error:
            reason = reason_of(error, job.path, self.options.max_pixels)
            if job.path.suffix.lower() in RAW and not entered:  # which "not an image" does not explain
                reason += "; a camera's raw file must be developed first"
            if not entered:  # each ticket has its turn
                self.gate.enter(ticket, 0)
            return _Decoded(job, None, reason, weight)

    def _run(self, photos: Sequence[Photo], first: Job) -> list[Result]:
        """The results of photos of one size, of which the first is that of the job ``first``."""
        others = list(zip(*(photo.others for photo in photos), strict=True))
        return self.network.translate([photo.pixels for photo in photos], seed_of(first, self.options.seed), others)

    def _next_batch(self, waiting: deque[Future[_Decoded]]) -> list[_Decoded]:
        """The oldest photo, and others of its size that are decoded by now."""
        first = waiting.popleft().result()
        if first.photo is None:
            return [first]
        batch = [first]
        later: list[Future[_Decoded]] = []
        while waiting and len(batch) < self.batch:
            future = waiting.popleft()
            photo = future.result().photo if future.done() else None
            if photo is not None and photo.pixels.shape == first.photo.pixels.shape:
                batch.append(future.result())
            else:
                later.append(future)
        waiting.extendleft(reversed(later))
        return batch

    def _translate(self, batch: list[_Decoded], encoders: ThreadPoolExecutor) -> None:
        photos = [item.photo for item in batch if item.photo is not None]
        if batch[0].large:
            self._by_windows(batch[0])
            return
        if not photos:
            for item in batch:
                failed = item.job.promises_picture or item.job.refusal is not None
                self._drop(item, "failed" if failed else "ignored", item.reason)
            return
        start = time.perf_counter()
        for item in batch:
            self._claimed[item.job.number].note("network")
        try:
            with self.lock:
                results = self._run(photos, batch[0].job)
        except Exception as error:
            # Whatever a model raises on one photo, the others may still go well.
            if len(batch) > 1:
                for item in batch:
                    self._translate([item], encoders)
            else:
                self._drop(batch[0], "failed", reason_of(error, batch[0].job.path, self.options.max_pixels))
            return
        finally:
            self._spent("network", start, batch)
        for item, result in zip(batch, results, strict=True):
            if item.job.number in self._leading and (path := self._written(item.job)) is not None:
                result.canvas.close()
                self._drop(item, "skipped", output=path)
                continue
            self._claimed[item.job.number].note("waiting")
            self._encoding.append((item, result, encoders.submit(self._encode, item, result)))

    def _by_windows(self, item: _Decoded) -> None:
        """Do a large photo from its file to its result's."""
        job, start = item.job, time.perf_counter()
        claim = self._claimed[job.number]
        claim.note("network")
        try:
            with self.lock:
                seed = seed_of(job, self.options.seed)
                done = self.large.translate(job, seed, claim, self._stopping.is_set)
        except StoppedError:
            return
        except Exception as error:
            self._drop(item, "failed", reason_of(error, job.path, self.options.max_pixels))
            return
        finally:
            self._spent("network", start, [item])
        self._finish(job, "done", seconds=round(item.seconds, 4), **done)

    def _encode(self, item: _Decoded, result: Result) -> tuple[Path, list[str]]:
        """Write one result; where it went, and notes."""
        start = time.perf_counter()
        job, photo = item.job, item.photo
        claim = self._claimed[job.number]
        claim.note("encode")
        assert photo is not None
        try:
            why = self.writer.unfit(job, photo, result)
            target, format_ = (job.target, job.format) if why is None else (job.alternative, "PNG")
            height, width, channels = result.canvas.shape
            notes = write_result(
                target,
                lambda file: self.writer.write(file, format_, job, photo, result),
                overwrite=self.options.overwrite,
                most=height * width * channels * result.canvas.kind.itemsize,
            )
            if why is None and not job.kept:
                why = "its format is not one we write, so it is written as PNG"
            return target, notes if why is None else [*notes, why]
        finally:
            result.canvas.close()
            self.gate.leave(item.weight)
            self._spent("encode", start, [item])

    def _collect(self, most: int) -> None:
        """Report what is written, and wait while more than ``most`` results are not."""
        while self._encoding and (len(self._encoding) > most or self._encoding[0][2].done()):
            item, result, future = self._encoding.popleft()
            try:
                target, notes = future.result()
            except DiskFullError as error:
                self._finish(item.job, "failed", reason=str(error))
                raise
            except Exception as error:
                reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
                self._finish(item.job, "failed", reason=f"cannot write {item.job.target.name}: {reason}")
                continue
            assert item.photo is not None
            height, width = item.photo.pixels.shape[:2]
            self._finish(
                item.job,
                "done",
                output=target,
                notes=[*item.photo.notes, *result.notes, *notes],
                size=[width, height],
                result_size=[result.canvas.shape[1], result.canvas.shape[0]],
                tiles=result.tiles,
                passes=result.passes,
                seconds=round(item.seconds, 4),
            )

    def _drop(self, item: _Decoded, status: Status, reason: str | None = None, *, output: Path | None = None) -> None:
        """End a photo that is not written; a frame that fails ends its sequence."""
        self.gate.leave(item.weight)
        if status == "failed" and self.in_order:
            self.network.handed.restart()
            reason = f"{reason}; the sequence begins anew with the next frame"
        self._finish(item.job, status, output=output, **({} if reason is None else {"reason": reason}))

    def _finish(self, job: Job, status: Status, *, output: Path | None = None, **more: Any) -> None:
        self._report(job, entry_of(job, status, output=output, **more))

    def _report(self, job: Job, entry: Entry) -> None:
        if (claim := self._claimed.pop(job.number, None)) is not None:
            self.claims.release(claim)
        self.report(entry)

    def _spent(self, stage: str, start: float, items: Sequence[_Decoded] = ()) -> None:
        seconds = time.perf_counter() - start
        for item in items:
            item.seconds += seconds / len(items)
        with self._clock:
            self.seconds[stage] += seconds
