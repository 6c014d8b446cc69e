"""The result of a large photo while it is written: a file beside its target, and the journal of its tiles."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from translate.console import clock_time, current
from translate.data.transforms import resize
from translate.data.values import Pixels, at_depth, to_numbers
from translate.files import put_in_place
from translate.infer.claims import Claim
from translate.infer.encode import colours_in, ends_of
from translate.infer.journal import Journal
from translate.infer.levels import Levels
from translate.infer.outputs import TakenError
from translate.infer.plan import Job
from translate.infer.progress import NOW_AND_THEN
from translate.infer.statistics import PooledNorms
from translate.infer.tiled import CannotTranslateError, Course, Place, Target
from translate.infer.views import View
from translate.infer.windows import Form, Writer

AROUND = 4
"""Pixels beyond a window that are read to enlarge its transparency."""

TILE_BYTES = 1 << 29
"""Most bytes that a tile may take: with 1 GiB, a gigapixel took a process just above 2 GB."""


class Make(Protocol):
    """Opens the writer of a result; ``resumed``: it is continued."""

    def __call__(self, form: Form, *, resumed: bool) -> Writer: ...


class StoppedError(Exception):
    """The run was stopped in the middle of a photo, which can be continued."""


class Written:
    """A `Target` that hands a ``writer`` the numbers of its tiles, with the transparency of the photo in ``view``."""

    def __init__(
        self, view: View, levels: Levels, scale: int, shape: tuple[int, int, int], kind: np.dtype[Any]
    ) -> None:
        self.shape = shape
        self.kind = kind
        first, (height, width, channels) = view.first, shape
        self._view = view
        self._scale = scale
        self._numbers = levels.numbers(first.numbers)
        self._layered = first.alpha is not None and channels != 4
        colours = colours_in(channels, bands=first.bands and channels == first.pixels.shape[2])
        self.form = Form(
            width,
            height,
            channels + self._layered,
            self._numbers.type,
            colours,
            alpha=self._layered or (channels == 4 and colours == 3),
        )
        self.writer: Writer

    def write(self, top: int, left: int, tile: Pixels) -> None:
        """Write pixels (rows, columns, channels)."""
        values = to_numbers(tile, self._numbers)
        if self._layered:
            layer = at_depth(self._layer(top, left, *tile.shape[:2]), self.kind)
            values = np.concatenate([values, to_numbers(layer, ends_of(self._numbers))], axis=2)
        self.writer.write(top, left, values)

    def _layer(self, top: int, left: int, rows: int, columns: int) -> Pixels:
        """Transparency at the result's size, (rows, columns, 1)."""
        scale, form = self._scale, self._view.form
        around = AROUND if scale > 1 else 0
        y, x = (max(0, start // scale - around) for start in (top, left))
        bottom, right = (
            min(most, -(-(start + count) // scale) + around)
            for most, start, count in ((form.height, top, rows), (form.width, left, columns))
        )
        alpha = self._view.alpha(y, x, bottom - y, right - x)
        grown = resize(alpha[:, :, None], (right - x) * scale, (bottom - y) * scale)
        return grown[top - y * scale :, left - x * scale :][:rows, :columns]


class Unfinished(Place):
    """Takes the tiles of a job's result, which ``written`` describes and ``make`` opens a writer for.

    ``nbytes``: of the result's numbers, once it is open.
    """

    tile_bytes = TILE_BYTES
    nbytes = 0

    def __init__(
        self,
        job: Job,
        journal: Journal,
        written: Callable[[tuple[int, int, int], np.dtype[Any]], Written],
        make: Make,
        claim: Claim,
        stopped: Callable[[], bool],
    ) -> None:
        self._job = job
        self._journal = journal
        self._written = written
        self._make = make
        self._claim = claim
        self._stopped = stopped
        self._writer: Writer | None = None
        self._before: tuple[Course, Mapping[str, Tensor]] | None = None

    def open(self, shape: tuple[int, int, int], kind: np.dtype[Any]) -> Target:
        """The file, as it was left; or a new one, also where memory ran out and tiles have to be smaller."""
        if self._writer is None:
            self._before = self._journal.read()
        else:
            self._writer.close()
            self._before = None
        if self._before is None:
            self._journal.discard()
        written = self._written(shape, kind)
        self.nbytes = written.form.nbytes
        self._check_room(self.nbytes)
        written.writer = self._writer = self._make(written.form, resumed=self._before is not None)
        name, (height, width, _) = self._job.path.name, shape
        after = f", continued after {self._before[0].done:,} tiles" if self._before else ""
        current().line(f"{name}: window by window, a result of {width:,} x {height:,} pixels{after}")
        self._started = self._reported = time.monotonic()
        self._begun = self._before[0].done if self._before else 0
        return written

    def _check_room(self, need: int) -> None:
        folder, partial = self._job.target.parent, self._journal.partial
        taken = 512 * getattr(partial.stat(), "st_blocks", 0) if partial.exists() else 0
        free = shutil.disk_usage(folder).free + taken
        if need > free:
            raise CannotTranslateError(
                f"its result takes {need:,} bytes, and {free:,} are free on the disk of {folder}"
            )

    def resumed(self) -> tuple[Course, Mapping[str, Tensor]] | None:
        """Where another process left it."""
        return self._before

    def reached(self, course: Course, tiles: int, norms: PooledNorms | None) -> None:
        """Write down how far it is, now and then. Raises `StoppedError` where the run is to end."""
        assert self._writer is not None
        if self._journal.reached(course, norms):
            self._write_down()
        if (now := time.monotonic()) - self._reported >= NOW_AND_THEN:
            self._reported = now
            here = course.done - self._begun if course.done > self._begun else course.done
            left = clock_time((now - self._started) / max(1, here) * (tiles - course.done))
            pass_ = f" of pass {course.passes}" if norms is not None else ""
            current().line(f"{self._job.path.name}: {course.done:,} of {tiles:,} tiles{pass_}, {left} left")
        if self._stopped():
            raise StoppedError

    def _write_down(self) -> None:
        assert self._writer is not None
        self._writer.flush()
        self._journal.write()
        self._claim.deaths = 0  # whatever killed others, this process came further
        self._claim.note("waiting")

    def finish(self, *, overwrite: bool) -> None:
        """Complete the file and give it its name. Raises ``TakenError``."""
        assert self._writer is not None
        self._writer.finish()
        try:
            put_in_place(self._journal.partial, self._job.target, replace=overwrite)
        except FileExistsError:
            raise TakenError("another file took the name of its result meanwhile") from None
        self._journal.discard()

    def leave(self, *, keep: bool) -> None:
        """The work ends before the result is complete; ``keep``: it can be continued."""
        with suppress(Exception):  # what ended it is reported
            if keep and self._writer is not None:
                self._write_down()
        with suppress(Exception):
            if self._writer is not None:
                self._writer.close()
        if not keep:
            self._journal.discard()
