"""The report of a run that trains, served while it does."""

from __future__ import annotations

import json
import threading
import time
import zlib
from pathlib import Path

from translate.report.folder import RunFolder, open_runs
from translate.report.page import report
from translate.report.pictures import Picture
from translate.report.server import HTML, JSON, NOT_FOUND, WEBP, Request, Response
from translate.training.layout import METRICS, PREVIEWS

RECORDS_EVERY = 5.0
"""Seconds between two times that new records alone renew the page; a new preview does at once."""
GRACE = 2.0
"""Seconds for which the page can still be asked for once the run has ended."""
LOOK_EVERY = 0.3
"""Seconds between two looks at whether the run still trains."""


class Watch:
    """Responds to the page of one run. Several browsers may send requests at the same time."""

    def __init__(self, path: Path) -> None:
        (self._run,) = open_runs([path])
        self._lock = threading.Lock()
        self._records = (0.0, "")
        self._page: tuple[str, bytes] | None = None

    def __call__(self, request: Request) -> Response:
        """The page, the name of its state, or one of its pictures."""
        with self._lock:
            if request.path == "state":
                state = {"version": self._version(), "ended": not self._run.trains}
                return Response(json.dumps(state).encode(), JSON)
            if request.path == "":
                return Response(self._rendered(), HTML)
            kind, _, name = request.path.partition("/")
            shown, _ = self._run.gallery.pictures(self._marked()) if kind == "picture" else ([], 0)
            found = next((each for each in shown if _name(each) == name), None)
            return NOT_FOUND if found is None else Response(found.webp, WEBP, lasting=True)

    def until_it_ends(self) -> None:
        """Return when the run does not train any more, and browsers have had the time to notice."""
        while True:
            with self._lock:
                self._run.update()
                if not self._run.trains:
                    break
            time.sleep(LOOK_EVERY)
        time.sleep(GRACE)

    def _marked(self) -> list[int]:
        best = self._run.records.best()
        return [] if best is None else [best.step]

    def _version(self) -> str:
        """Changes with each preview, now and then with the records, and with the end."""
        now, (read, records) = time.monotonic(), self._records
        if now - read >= RECORDS_EVERY or not self._run.trains:
            records = _stamp(self._run.path / METRICS)
            self._records = now, records
        steps = self._run.gallery.steps()
        newest = _stamp(self._run.path / PREVIEWS / f"step-{steps[-1]:06d}.png") if steps else ""
        return f"{len(steps)}.{newest}.{records}.{self._run.trains}"

    def _rendered(self) -> bytes:
        version = self._version()
        if self._page is None or self._page[0] != version:
            self._run.update()
            self._page = version, report([self._run], address=_address, version=version).encode()
        return self._page[1]


def _stamp(path: Path) -> str:
    try:
        stat = path.stat()
    except OSError:
        return ""
    return f"{stat.st_mtime_ns:x}-{stat.st_size:x}"


def _address(run: RunFolder, picture: Picture) -> str:
    return f"picture/{_name(picture)}"


def _name(picture: Picture) -> str:
    return f"{picture.step}-{zlib.crc32(picture.webp):08x}.webp"
