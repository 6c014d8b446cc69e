"""How far the tiles of an unfinished result have come, so that another process continues with them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from translate.files import write_whole
from translate.infer.claims import beside
from translate.infer.statistics import PooledNorms
from translate.infer.tiled import Course

EVERY = 2.0
"""Seconds between two entries: what a killed process loses."""

_KEY = "journal"


class Journal:
    """Lies beside the unfinished result of ``target``. ``of``: changes with whatever the result depends on.

    ``partial``: the file of the unfinished result.
    """

    def __init__(self, target: Path, of: str) -> None:
        self.partial, self._path = (beside(target, suffix) for suffix in (".tiles", ".journal"))
        self._of = of
        self._latest: tuple[Course, Mapping[str, Tensor]] | None = None
        self._written = time.monotonic()

    def read(self) -> tuple[Course, Mapping[str, Tensor]] | None:
        """Where another process stopped; None where there is nothing that can be continued."""
        try:
            with safe_open(self._path, framework="pt") as file:
                found = json.loads(file.metadata()[_KEY])
                if found["of"] != self._of or not self.partial.is_file():
                    return None
                fields = found["course"] | {"notes": tuple(found["course"]["notes"])}
                return Course(**fields), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, ValueError, KeyError, TypeError):
            return None

    def reached(self, course: Course, norms: PooledNorms | None) -> bool:
        """The tiles are written as ``course`` has it; whether it is time to ``write`` that down."""
        self._latest = course, {} if norms is None else norms.state()
        return time.monotonic() - self._written >= EVERY

    def write(self) -> None:
        """Write down the latest that was reached, once the tiles themselves are on the disk."""
        if self._latest is None:
            return
        course, state = self._latest
        data = save(dict(state), {_KEY: json.dumps({"of": self._of, "course": asdict(course)})})
        write_whole(self._path, lambda temporary: temporary.write_bytes(data))
        self._written = time.monotonic()

    def discard(self) -> None:
        """Remove the journal and the unfinished result."""
        discard(self._path, self.partial)


def discard_unfinished(target: Path) -> None:
    """Remove what lies beside a result that is finished by now."""
    discard(*(beside(target, suffix) for suffix in (".journal", ".tiles")))


def discard(*paths: Path) -> None:
    for path in paths:
        with suppress(FileNotFoundError):
            path.unlink()
