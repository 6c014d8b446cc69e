"""``gantk infer``: a trained model applied to files and folders of photos.

Three stages work at the same time: threads decode ahead, the calling thread runs the network, threads encode behind.
"""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from threading import RLock
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from translate.console import printable
from translate.errors import GantkError, InterruptedRunError, UsageError, named_line
from translate.files import make_folder
from translate.infer.options import InferOptions

if TYPE_CHECKING:
    from translate.contract import Direction
    from translate.infer.outputs import Gate
    from translate.infer.photos import Photo
    from translate.infer.plan import Job
    from translate.infer.runner import Network, Result
    from translate.modelfile.model import Published

IN_FLIGHT = 96_000_000
"""Pixels, of inputs and results, that are between reading and written at once (unless a single photo has more)."""

LONG, NOW_AND_THEN = 2.0, 60.0
"""Seconds after which the search for photos is spoken of, and between two lines that count the files of a long run."""

Status = Literal["done", "skipped", "failed", "ignored"]


@dataclass
class Summary:
    """What became of the inputs, of all processes together in the one that leads.

    ``skipped``: done by an earlier run. ``ignored``: files in folders that are no pictures and do not claim to be.
    ``failures``: (file, reason). ``notes``: what else the user should know, with the number of files.
    ``seconds``: time spent in ``decode`` and ``encode`` (summed over threads), ``network``, and ``total``.
    ``leads``: whether this process speaks for all.
    """

    done: int = 0
    skipped: int = 0
    failed: int = 0
    ignored: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    leads: bool = True

    @property
    def exit_code(self) -> int:
        """0, or 3 where some inputs failed. Processes that do not lead give 0, or torchrun would stop the others."""
        return 3 if self.failed and self.leads else 0

    def add(self, other: dict[str, Any]) -> None:
        """Add another process's summary (as JSON values)."""
        for name in ("done", "skipped", "failed", "ignored"):
            setattr(self, name, getattr(self, name) + other[name])
        self.failures += [(path, reason) for path, reason in other["failures"]]
        self.notes = dict(Counter(self.notes) + Counter(other["notes"]))
        for stage, seconds in other["seconds"].items():
            both = (self.seconds.get(stage, 0.0), seconds)
            self.seconds[stage] = max(both) if stage == "total" else sum(both)

    def lines(self) -> Iterator[str]:
        """The summary for people."""
        yield from self.failed_lines()
        for note, count in sorted(self.notes.items()):
            yield f"note: {note} ({count} {'file' if count == 1 else 'files'})"
        parts = [f"{self.done} done"]
        if self.skipped:
            parts.append(f"{self.skipped} skipped (their outputs exist; --overwrite redoes them)")
        if self.ignored:
            parts.append(f"{self.ignored} ignored")
        yield ", ".join([*parts, f"{self.failed} failed"])

    def failed_lines(self) -> Iterator[str]:
        """What failed, and why."""
        for path, reason in self.failures:
            yield f"failed: {printable(path)}: {printable(reason)}"


def infer(
    model: Published,
    inputs: Sequence[Path],
    out: Path,
    options: InferOptions | None = None,
    *,
    tell: Callable[[str], None] = lambda line: None,
    record: Callable[[dict[str, Any]], None] = lambda entry: None,
) -> Summary:
    """Apply ``model`` to every photo of ``inputs``, files and folders, and write the results below ``out``.

    ``tell`` receives lines for the user, ``record`` one JSON-able entry per file. The model's networks are moved to
    the device. What fails is reported and does not stop the rest. Raises ``UsageError`` before the first photo is
    read, and ``InterruptedRunError`` on Ctrl-C or SIGTERM, after which nothing half-done is left.
    """
    from translate.data.listing import describe
    from translate.device import choose_device
    from translate.distributed import world_from_environment
    from translate.infer.outputs import remove_leftovers
    from translate.infer.plan import plan
    from translate.infer.runner import Network
    from translate.infer.shards import Meeting

    options = options or InferOptions()
    direction = direction_of(model, options)
    world = world_from_environment()
    device = choose_device(options.device, world.local_rank, world.local_size)
    with model.lock:
        network = Network(model, direction, device, options)
    with _told_if_long("looking for photos", tell if world.leads else lambda line: None):
        left_out: Counter[str] = Counter()
        jobs = plan(inputs, out, options, network.levels.planes_out, left_out)
    meeting = Meeting(world)
    make_folder(out, f"--out {out}")
    if world.leads:
        remove_leftovers(out)
        tell(f"{model.plugin} {direction.name} on {device.type} ({network.precision}): {len(jobs)} files")
        if left_out:
            tell(describe(left_out))
    start = time.perf_counter()
    folder = _Folder(network, model.lock, out, options, record)
    mine = folder.summary
    own = jobs[world.rank :: world.size]
    if world.leads:
        folder.on_the_way = _counter(len(own), " of the first process" if world.size > 1 else "", tell)
    if world.leads and (options.batch or 1) > folder.batch:
        tell(f"--batch {options.batch}: this direction draws noise for each photo, so they are run one by one")
    try:
        with _stoppable(), _unlimited(options.max_pixels):
            folder.run(own)
    except InterruptedRunError:
        for line in mine.failed_lines():  # each process its own: nobody waits for a report of all now
            tell(line)
        raise
    mine.seconds["total"] = time.perf_counter() - start
    mine.leads = world.leads
    for other in meeting.reports(asdict(mine))[1:]:
        mine.add(other)
    if world.leads:
        for line in mine.lines():
            tell(line)
    return mine


def direction_of(model: Published, options: InferOptions) -> Direction:
    """The direction that the options ask for; with ``sample`` as it is where each picture draws noise of its own."""
    direction = model.direction(options.direction)
    if not options.sample:
        return direction
    if not direction.noise:
        raise UsageError(f"--sample: {model.plugin} draws no noise in direction {direction.name}")
    return replace(direction, margin=None)  # each tile would draw noise of its own


@dataclass
class _Decoded:
    """A photo on its way, or why there is none."""

    job: Job
    photo: Photo | None = None
    reason: str = ""
    weight: int = 0


class _Folder:
    """The three stages over one list of jobs."""

    def __init__(
        self,
        network: Network,
        lock: RLock,
        out: Path,
        options: InferOptions,
        record: Callable[[dict[str, Any]], None],
    ) -> None:
        from translate.infer.outputs import Gate

        on_gpu = network.device.type != "cpu"
        self.network = network
        self.lock = lock
        self.out = out
        self.options = options
        self.record = record
        self.on_the_way: Callable[[Summary], None] = lambda summary: None
        self.summary = Summary(seconds={"decode": 0.0, "network": 0.0, "encode": 0.0})
        self.workers = options.workers or min(os.cpu_count() or 1, 8 if on_gpu else 2)
        self.batch = options.batch or (8 if on_gpu else 1)
        with lock:
            if self.batch > 1 and network.draws_noise():  # each photo has its own, whatever else is in the folder
                self.batch = 1
        self.gate: Gate = Gate(IN_FLIGHT)
        self._clock = threading.Lock()
        self._encoding: deque[tuple[_Decoded, Result, Future[tuple[Path, list[str]]]]] = deque()

    def run(self, jobs: Sequence[Job]) -> None:
        """Do all of them; returns when the last result is on the disk."""
        decoders = ThreadPoolExecutor(self.workers, "decode")
        encoders = ThreadPoolExecutor(self.workers, "encode")
        try:
            waiting: deque[Future[_Decoded]] = deque()
            rest = (job for job in jobs if self._to_do(job))
            ticket = 0
            while True:
                while len(waiting) < self.workers + 2 * self.batch and (job := next(rest, None)) is not None:
                    waiting.append(decoders.submit(self._decode, job, ticket))
                    ticket += 1
                if not waiting:
                    break
                self._translate(self._next_batch(waiting), encoders)
                self._collect(most=2 * self.workers)
            self._collect(most=0)
        finally:
            self.gate.close()
            for pool in (decoders, encoders):
                pool.shutdown(wait=True, cancel_futures=True)

    def _to_do(self, job: Job) -> bool:
        if job.refusal is not None:
            self._finish(job, "failed", reason=job.refusal)
            return False
        if not self.options.overwrite:
            for path in (job.target, job.alternative):
                if os.path.lexists(path) and not path.is_dir():
                    self._finish(job, "skipped", output=path)
                    return False
        return True

    def _decode(self, job: Job, ticket: int) -> _Decoded:
        from translate.data.decode import probe
        from translate.infer.photos import read_photo
        from translate.infer.plan import RAW
        from translate.infer.tiling import padded_side
        from translate.reading import MAX_PIXELS

        weight, reason = 0, ""
        try:
            width, height, _ = probe(job.path, self.network.reading)
            direction = self.network.direction
            pixels = padded_side(width, direction.multiple) * padded_side(height, direction.multiple)
            # A line of a hundred million pixels is no more than one photo, but sixteen times as many when padded.
            if pixels > (most := max(self.options.max_pixels, MAX_PIXELS)):
                reason = (
                    f"{width}x{height} is padded to {pixels:,} pixels for this model, more than {most:,}; "
                    "--max-pixels raises this limit"
                )
            weight = pixels * (1 + direction.scale**2) // 2
        except GantkError as error:
            reason = self._reason(error)
            if job.path.suffix.lower() in RAW:  # which "not an image, or a damaged one" does not explain
                reason += "; a camera's raw file must be developed first"
        if not self.gate.enter(ticket, weight) or reason:
            return _Decoded(job, None, reason or "stopped", weight)
        start = time.perf_counter()
        try:
            photo = read_photo(
                job.path,
                self.network.levels.channels,
                reading=self.network.reading,
                indexed=self.network.levels.indexed,
                alpha=self.options.alpha == "keep",
                strip=self.options.strip,
                location=not self.options.strip_location,
                scale=self.network.direction.scale,
            )
            return _Decoded(job, photo, "", weight)
        except GantkError as error:
            return _Decoded(job, None, self._reason(error), weight)
        finally:
            self._spent("decode", start)

    def _reason(self, error: GantkError) -> str:
        """Why a photo could not be read, without its name."""
        from translate.data.decode import TooLargeError

        if isinstance(error, TooLargeError):  # Pillow's limit is beyond --max-pixels, so that one is what counts
            return f"it has {error.pixels:,} pixels, more than --max-pixels {self.options.max_pixels}"
        return str(getattr(error, "reason", error))

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
        if not photos:
            for item in batch:
                status: Status = "failed" if item.job.promises_picture else "ignored"
                self._drop(item, status, item.reason)
            return
        start = time.perf_counter()
        try:
            with self.lock:
                results = self.network.translate([photo.pixels for photo in photos], self._seed(batch[0].job))
        except Exception as error:
            # Whatever a model raises on one photo, the others may still go well.
            if len(batch) > 1:
                for item in batch:
                    self._translate([item], encoders)
            else:
                own = isinstance(error, GantkError)
                reason = str(error) if own else f"the model failed ({named_line(error)})"
                self._drop(batch[0], "failed", reason)
            return
        finally:
            self._spent("network", start)
        for item, result in zip(batch, results, strict=True):
            self._encoding.append((item, result, encoders.submit(self._encode, item, result)))

    def _encode(self, item: _Decoded, result: Result) -> tuple[Path, list[str]]:
        """Write one result; where it went, and notes."""
        from translate.infer.encode import unfit, write_photo
        from translate.infer.outputs import write_result
        from translate.provenance import COMPOSITE

        start = time.perf_counter()
        job, photo, network, options = item.job, item.photo, self.network, self.options
        assert photo is not None
        try:
            height, width, channels = result.canvas.shape
            alpha = photo.alpha is not None or channels == 4
            asked = options.format != "keep"
            numbers = network.levels.numbers(photo.numbers)
            bands = photo.bands and channels == photo.pixels.shape[2]
            why = unfit(
                job.format,
                height,
                width,
                alpha=alpha,
                indexed=network.levels.index_out,
                asked=asked,
                channels=channels,
                bands=bands,
                numbers=numbers,
            )
            target, format_ = (job.target, job.format) if why is None else (job.alternative, "PNG")
            source = COMPOSITE if options.provenance else None
            notes = write_result(
                target,
                lambda file: write_photo(
                    file,
                    format_,
                    result.canvas,
                    photo.alpha,
                    photo.kept,
                    quality=options.quality,
                    lossless=photo.lossless and options.format == "keep",
                    indexed=network.levels.index_out,
                    numbers=numbers,
                    bands=bands,
                    source=source,
                ),
                overwrite=options.overwrite,
            )
            if why is None and not job.kept:
                why = "its format is not one we write, so it is written as PNG"
            return target, notes if why is None else [*notes, why]
        finally:
            result.canvas.close()
            self.gate.leave(item.weight)
            self._spent("encode", start)

    def _collect(self, most: int) -> None:
        """Report what is written, and wait while more than ``most`` results are not."""
        while self._encoding and (len(self._encoding) > most or self._encoding[0][2].done()):
            item, result, future = self._encoding.popleft()
            try:
                target, notes = future.result()
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
            )

    def _drop(self, item: _Decoded, status: Status, reason: str) -> None:
        self.gate.leave(item.weight)
        self._finish(item.job, status, reason=reason)

    def _finish(self, job: Job, status: Status, *, output: Path | None = None, **more: Any) -> None:
        setattr(self.summary, status, getattr(self.summary, status) + 1)
        if status == "failed":
            self.summary.failures.append((str(job.path), more["reason"]))
        for note in more.get("notes", ()):
            self.summary.notes[note] = self.summary.notes.get(note, 0) + 1
        entry = {"input": str(job.path), "output": None if output is None else str(output), "status": status}
        self.record(entry | more)
        self.on_the_way(self.summary)

    def _seed(self, job: Job) -> int:
        """Depends on the photo's place in the folder, not on what else is in it."""
        text = f"{self.options.seed}:{os.fsencode(job.target.relative_to(self.out))!r}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")

    def _spent(self, stage: str, start: float) -> None:
        with self._clock:
            self.summary.seconds[stage] += time.perf_counter() - start


def _counter(total: int, whose: str, tell: Callable[[str], None]) -> Callable[[Summary], None]:
    """Tells now and then how far a long run is, to be called after each file."""
    last = time.monotonic()

    def on_the_way(summary: Summary) -> None:
        nonlocal last
        if (now := time.monotonic()) - last < NOW_AND_THEN:
            return
        last = now
        count = summary.done + summary.skipped + summary.ignored + summary.failed
        tell(f"{count:,} of {total:,} files{whose}, {summary.failed:,} failed")

    return on_the_way


@contextmanager
def _told_if_long(line: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Say what is going on where it takes longer than a user waits without a word."""
    timer = threading.Timer(LONG, tell, [line])
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


@contextmanager
def _stoppable() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the work in order: the threads finish the files they are writing, nothing else begins."""
    main = threading.current_thread() is threading.main_thread()
    codes = {"stopped by": 130}

    def stop(number: int, frame: FrameType | None) -> None:
        codes["stopped by"] = 128 + number
        raise KeyboardInterrupt  # no `except Exception` on the way takes it for a photo's failure

    previous = signal.signal(signal.SIGTERM, stop) if main else None
    try:
        yield
    except KeyboardInterrupt:
        message = "stopped; what is done is whole, and the same command goes on"
        raise InterruptedRunError(message, codes["stopped by"]) from None
    finally:
        if main:
            signal.signal(signal.SIGTERM, previous)


@contextmanager
def _unlimited(max_pixels: int) -> Iterator[None]:
    """Let Pillow open what ``--max-pixels`` allows; its own limit is lower."""
    from PIL import Image

    before = Image.MAX_IMAGE_PIXELS
    if before is not None and max_pixels > 2 * before:
        Image.MAX_IMAGE_PIXELS = max_pixels
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
