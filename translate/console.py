"""What the user sees: text for people on stderr, records for programs on stdout."""

from __future__ import annotations

import errno
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TextIO


def printable(text: str) -> str:
    """The text on one line, with control characters and undecodable bytes escaped, so that no file name can pose as
    output of ours or steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def json_line(record: Mapping[str, Any]) -> str:
    """The record as one line of JSON, which has no word for numbers that are not finite: they become ``null``."""
    return json.dumps(_finite(record), default=str, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True)
class Console:
    """Where a command's words go. ``json``: records on stdout. ``quiet``: only warnings and errors on stderr."""

    quiet: bool = False
    json: bool = False
    debug: bool = False

    @property
    def live(self) -> bool:
        """Whether progress may redraw itself: a terminal is there and nobody asked for plain lines."""
        plain = self.quiet or self.json or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
        return not plain and sys.stderr.isatty()

    def line(self, text: str) -> None:
        """Text for people, silenced by ``--quiet``. Line ends stay; other control characters are escaped."""
        if not self.quiet:
            _write(text)

    def warning(self, text: str) -> None:
        """Something that went on, but not as the user may think."""
        _write(f"gantk: warning: {printable(text)}")

    def error(self, text: str, exit_code: int) -> None:
        """Why the command ends without having done its work."""
        _write(f"gantk: error: {printable(text)}")
        self.record({"error": text, "exit_code": exit_code})

    def record(self, values: Mapping[str, Any]) -> None:
        """One JSON line on stdout, where ``--json`` asks for it."""
        if self.json:
            _put(sys.stdout, json_line(values))

    def table(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """A command's result: aligned columns on stdout, or one record per row with ``--json``."""
        if self.json:
            for row in rows:
                self.record(row)
            return
        if not rows:
            return
        body = [[printable(str(value)) for value in row.values()] for row in rows]
        cells = [[name.upper() for name in rows[0]], *body]
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        for words in cells:
            line = "  ".join(word.ljust(width) for word, width in zip(words, widths, strict=True))
            _put(sys.stdout, line.rstrip() + "\n")


_current: ContextVar[Console | None] = ContextVar("console", default=None)


def current() -> Console:
    """The console of the command that runs."""
    return _current.get() or Console()


@contextmanager
def using(console: Console) -> Iterator[None]:
    """Make it the `current` one."""
    token = _current.set(console)
    try:
        yield
    finally:
        _current.reset(token)


def _write(text: str) -> None:
    _put(sys.stderr, "\n".join(printable(line) for line in text.split("\n")) + "\n")


_GONE = {errno.EPIPE, errno.EIO, errno.ESTALE} | ({errno.EINVAL} if os.name == "nt" else set())
"""What a write says whose pipe has no reader any more, or whose terminal was closed."""


def _put(stream: TextIO | None, text: str) -> None:
    if stream is None:  # the caller closed it: nobody wants to know, and the work goes on
        return
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        if error.errno not in _GONE:
            raise
        # Whoever listened has left, and a run of hours must not end for that. What is still buffered goes nowhere, or
        # Python would try again at its end and fail then.
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
