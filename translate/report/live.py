"""The page in a run's own folder, which is written anew at each preview."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from translate.errors import shortened
from translate.files import write_text_whole
from translate.report.folder import RunFolder
from translate.report.page import REPORT, report

SHARE = 0.015
"""Most of the time of a run that its page may take; where that would be more, some previews are passed over."""


class LiveReport:
    """Follows a run as a tracker does. Each preview is encoded once; where a run is resumed, once more."""

    def __init__(self) -> None:
        self._run: RunFolder | None = None
        self._began = self._spent = self._last = 0.0
        self._folder = Path()

    def begin(self, folder: Path, settings: Mapping[str, Any], start: int) -> None:
        """A run in ``folder`` begins or is resumed."""
        self._folder, self._began = folder, time.monotonic()
        self._last = self._began

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """They are read from metrics.jsonl."""

    def picture(self, step: int, file: Path) -> None:
        """Write the page, unless it has taken too much of the run's time already."""
        now = time.monotonic()
        if self._run is None or self._spent <= SHARE * (now - self._began):
            self._write(every=int((now - self._last) / 2))

    def close(self) -> None:
        """Write the page a last time: the run does not train any more."""
        if self._began:
            self._write(every=0)

    def _write(self, *, every: int) -> None:
        start = time.monotonic()
        if self._run is None:
            self._run = RunFolder(self._folder, shortened(self._folder.resolve().name, 60))
        self._run.update()
        write_text_whole(self._folder / REPORT, report([self._run], every=every))
        self._last = time.monotonic()
        self._spent += self._last - start
