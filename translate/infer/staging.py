"""Photos and results on object stores: each photo is fetched into a folder of this machine and done there as any other,
and its finished result is put into place whole. A bounded number of them is on this machine at once."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from translate.contract import Direction
from translate.errors import GantkError, UsageError, one_line
from translate.files import remove_leftovers, temporary_beside
from translate.infer.catalogue import Catalogue, Origin, catalogue
from translate.infer.engine import Engine
from translate.infer.options import InferOptions
from translate.infer.origins import Named, origins
from translate.infer.outputs import DiskFullError
from translate.infer.places import FolderPlace, Place, StorePlace
from translate.infer.plan import OVERWRITES, Found, Job, jobs_of, promised_format
from translate.infer.stores import DeniedError, StoreError, Stores
from translate.infer.summary import Entry
from translate.infer.urls import url_of

AT_ONCE = 16
"""Photos that are fetched at once, and results that are put at once, and as many that wait for it."""

AHEAD, BYTES_AHEAD = 64, 1 << 30
"""Photos, and bytes of them, that are fetched before their turn (unless one photo has more)."""


@dataclass
class _Family:
    """Photos whose results are named together, and the folder that is theirs until the last of them is done."""

    photos: list[Origin]
    folder: Path
    left: int
    fetched: list[Future[None]] = field(default_factory=list)

    @property
    def out(self) -> Path:
        """The output folder, as far as the stages know."""
        return self.folder / "out"

    @property
    def paths(self) -> list[Path]:
        """Where the photos lie on this machine, once they are fetched."""
        return [
            self.folder / str(place) / photo.inside.name if photo.remote else Path(photo.url)
            for place, photo in enumerate(self.photos)
        ]

    def found(self) -> list[Found]:
        """The photos as files of this machine."""
        return [
            Found(path, photo.inside, photo.listed, photo.refusal)
            for path, photo in zip(self.paths, self.photos, strict=True)
        ]

    @property
    def size(self) -> int:
        """Bytes of all photos."""
        return sum(photo.size for photo in self.photos)


class Staging:
    """The photos of one run and where they go. ``left_out``: what is no photo by its name, as ``plan`` counts it."""

    def __init__(self, folder: Path, known: Catalogue, out: Path, options: InferOptions) -> None:
        self.left_out: Counter[str] = Counter()
        self._folder = folder
        self._known = known
        self._out = out
        self._options = options
        self._stores = Stores()
        self._url = url_of(out)
        self._place: Place = (
            FolderPlace(out, options.overwrite) if self._url is None else StorePlace(self._url, self._stores, known)
        )
        self._numbers = count()
        self._on_the_way: dict[str, tuple[Origin, _Family]] = {}
        self._puts: deque[tuple[Entry, _Family, Future[None]]] = deque()

    def find(self, inputs: Sequence[Path], named: Named) -> None:
        """Find the photos, and the results that exist. Raises ``UsageError`` as ``plan`` does."""
        self._known.add_photos(origins(inputs, named, self._out, self._stores, self.left_out))
        if self._url is not None:
            results = self._stores.names(self._url)
            if self._options.overwrite:
                next(results, None)  # none of them matters, but the store must be within reach
            else:
                self._known.add_results(one.name for one in results)

    def count(self, *shares: slice) -> int:
        """How many photos there are in one part of all."""
        return self._known.count(*shares)

    def run(self, engine: Engine, report: Callable[[Entry], None], channels: int, *shares: slice) -> None:
        """Have the photos of one part done, and ``report`` each by its own name; ``channels``: of the results."""
        self._report, self._channels = report, channels
        getters, self._putters = ThreadPoolExecutor(AT_ONCE, "get"), ThreadPoolExecutor(AT_ONCE, "put")
        try:
            families = self._read_ahead(self._known.families(*shares), getters)
            engine.run((job for family in families for job in self._jobs(family)), self._take)
            self._collect(most=0)
        finally:
            for pool in (getters, self._putters):
                pool.shutdown(wait=True, cancel_futures=True)
            for entry, _, put in self._puts:  # of a run that is stopped
                if not put.cancelled() and put.exception() is None:
                    self._report(entry)

    def _read_ahead(self, families: Iterable[list[Origin]], getters: ThreadPoolExecutor) -> Iterator[_Family]:
        """The families that are to be done, of which the next ones are being fetched."""
        waiting: deque[_Family] = deque()
        photos = size = 0
        for number, origins_ in enumerate(families):
            family = _Family(origins_, self._folder / str(number), len(origins_))
            if self._skips(family):
                continue
            family.fetched = [
                getters.submit(self._fetch, photo, path) for photo, path in zip(origins_, family.paths, strict=True)
            ]
            waiting.append(family)
            photos, size = photos + len(family.photos), size + family.size
            while waiting and (photos > AHEAD or size > BYTES_AHEAD):
                first = waiting.popleft()
                photos, size = photos - len(first.photos), size - first.size
                yield first
        yield from waiting

    def _skips(self, family: _Family) -> bool:
        """Report a family that an earlier run has done, as far as its names tell; False where they do not.

        With ``--format keep`` it depends on their content which of several photos gets a name.
        """
        if len(family.photos) > 1 and self._options.format == "keep":
            return False
        jobs = jobs_of(family.found(), family.out, self._options, self._channels, promised_format)
        results = [result for job in jobs if (result := self._result(job)) is not None]
        if len(results) < len(jobs) or any(photo.refusal is not None for photo in family.photos):
            return False
        for photo, result in zip(family.photos, results, strict=True):
            self._report({"input": photo.url, "output": result, "status": "skipped"})
        return True

    def _result(self, job: Job) -> str | None:
        """Where a photo's result lies that need not be made again."""
        names = (path.relative_to(job.out).as_posix() for path in (job.target, job.alternative))
        return next((self._place.of(name) for name in names if self._place.has(name)), None)

    def _fetch(self, photo: Origin, path: Path) -> None:
        """Copy a photo to where it lies on this machine, unless it does. Raises ``StoreError``."""
        if photo.remote and photo.refusal is None:
            path.parent.mkdir(parents=True)
            self._stores.get(photo.url, path)

    def _jobs(self, family: _Family) -> Iterator[Job]:
        lost = {}
        for path, fetched in zip(family.paths, family.fetched, strict=True):
            try:
                fetched.result()
            except StoreError as error:
                lost[path] = f"cannot be read: {error}"
        photos = dict(zip(family.paths, family.photos, strict=True))
        # Also what is lost, which is in the others' way as it will be when it is done.
        for job in jobs_of(family.found(), family.out, self._options, self._channels):
            photo, reason = photos[job.path], lost.get(job.path) or photos[job.path].refusal
            if reason is None and (result := self._result(job)) is not None:
                self._close({"input": photo.url, "output": result, "status": "skipped"}, family)
                continue
            if reason is None and self._known.has_photo(self._place.of(job.target.relative_to(job.out).as_posix())):
                reason = OVERWRITES
            self._on_the_way[str(job.path)] = (photo, family)
            yield replace(job, number=next(self._numbers), refusal=reason or job.refusal)

    def _take(self, entry: Entry) -> None:
        """The record of a photo as the stages have it: under another name, and its result not yet in place."""
        photo, family = self._on_the_way.pop(entry["input"])
        own = {**entry, "input": photo.url}
        if entry["status"] == "done":
            file = Path(entry["output"])
            name = file.relative_to(family.out).as_posix()
            own["output"] = self._place.of(name)
            self._puts.append((own, family, self._putters.submit(self._place.put, file, name)))
        else:
            self._close(own, family)
        self._collect(most=2 * AT_ONCE)

    def _collect(self, most: int) -> None:
        """Report what is in place, and wait while more than ``most`` results are not."""
        while self._puts and (len(self._puts) > most or self._puts[0][2].done()):
            entry, family, put = self._puts.popleft()
            try:
                put.result()
            except Exception as error:
                reason = f"cannot write {entry['output'].rpartition('/')[2]}: {one_line(error)}"
                self._close({"input": entry["input"], "output": None, "status": "failed", "reason": reason}, family)
                if isinstance(error, DiskFullError):
                    raise
                if isinstance(error, DeniedError):
                    raise GantkError(f"--out {self._url}: cannot be written to ({error})") from None
            else:
                self._close(entry, family)

    def _close(self, entry: Entry, family: _Family) -> None:
        """Report a photo, and be rid of its files when its family is done."""
        self._report(entry)
        family.left -= 1
        if not family.left:
            shutil.rmtree(family.folder, ignore_errors=True)


@contextmanager
def staged(out: Path, options: InferOptions, direction: Direction) -> Iterator[Staging]:
    """What takes photos from stores and results to them, in a temporary folder that ends with the ``with`` statement.

    Raises ``UsageError`` for what needs more than one photo at a time, or other machines.
    """
    if options.engine != "local":
        raise UsageError(f"--engine {options.engine}: photos and --out on stores are done by this machine; use --shard")
    if direction.sequence or options.also:
        what = "follows the order of frames" if direction.sequence else "takes several pictures for each result"
        raise UsageError(f"{direction.name} {what}; expected photos and --out on this machine")
    home = Path(tempfile.gettempdir())
    remove_leftovers(home)
    folder = temporary_beside(home / "photos")
    folder.mkdir(mode=0o700)
    try:
        with catalogue(folder / "names") as known:
            yield Staging(folder, known, out, options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
