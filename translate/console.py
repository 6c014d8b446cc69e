"""The one voice: whatever a user reads is written here, text for people on stderr, results and records on stdout."""

from __future__ import annotations

import errno
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress


LONGEST = 4000
"""Characters of a line for people, which may hold text from a file of any length; ``--json`` cuts errors alone."""


def printable(text: str) -> str:
    """The text on one line, cut where it is too long to be read, with control characters and undecodable bytes escaped,
    so that no file name can pose as output of ours or steer the terminal."""
    text = text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def clock_time(seconds: float) -> str:
    """A span of time as hours, minutes and seconds: ``1:02:03``."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"


def json_line(record: Mapping[str, Any]) -> str:
    """The record as one line of JSON, which has no word for numbers that are not finite: they become ``null``."""
    return json.dumps(_finite(record), default=str, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(eq=False)
class Console:
    """Where text for people and records for programs go; a program that listens passes one of its own to ``using``.

    ``quiet``: only warnings and errors. ``json``: records on stdout. ``lines``: receives each line of text, which
    stderr then does not. ``records``: receives each record (JSON-able, with ``json`` or without), which stdout then
    does not.
    """

    quiet: bool = False
    json: bool = False
    debug: bool = False
    mute: bool = False
    """Whether it reports nothing but errors: on every process of a run but the first."""
    lines: Callable[[str], object] | None = None
    records: Callable[[Mapping[str, Any]], object] | None = None
    copies: list[str] | None = None
    """Receives each line and warning too, whether they are written or not."""
    _bar: Progress | None = field(default=None, init=False, repr=False)

    @property
    def live(self) -> bool:
        """Whether progress may redraw itself: stderr is a terminal and plain lines are not required."""
        plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
        silent = self.quiet or self.json or self.mute or self.lines is not None
        return not (plain or silent) and sys.stderr is not None and sys.stderr.isatty()

    def line(self, text: str) -> None:
        """One line for people, silenced by ``--quiet``; line ends and other control characters in it are escaped."""
        self._copy(text)
        if not (self.quiet or self.mute):
            self._write(printable(text))

    def detail(self, text: str) -> None:
        """Text for those who look for a fault, with ``--debug``."""
        if self.debug and not self.mute:
            self._write(text)

    def warning(self, text: str) -> None:
        """What does not end the work, but makes it other than the user may think."""
        self._copy(text)
        if not self.mute:
            self._write(f"gantk: warning: {printable(text)}")

    def error(self, text: str, exit_code: int) -> None:
        """Why the command ends without having done its work."""
        self._write(f"gantk: error: {printable(text)}")
        with suppress(OSError):  # stdout may be what failed
            self.record(
                {"error": text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}...", "exit_code": exit_code}
            )

    def output(self, text: str) -> None:
        """A line of a command's result, on stdout."""
        _put(sys.stdout, printable(text) + "\n")

    def record(self, values: Mapping[str, Any]) -> None:
        """One JSON line on stdout, where ``--json`` asks for it."""
        if self.mute:
            return
        if self.records is not None:
            self.records(values)
        elif self.json:
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
            self.output("  ".join(word.ljust(width) for word, width in zip(words, widths, strict=True)).rstrip())

    @contextmanager
    def below(self, bar: Progress) -> Iterator[None]:
        """Keep a progress bar below all lines that are written meanwhile."""
        self._bar = bar
        bar.start()
        try:
            yield
        finally:
            self._bar = None
            bar.stop()

    def quieted(self, quiet: bool) -> Console:
        """This console, or one like it that is ``quiet``."""
        return replace(self, quiet=True) if quiet else self

    def copied_to(self, copies: list[str]) -> Console:
        """One like this console that appends each line and warning to ``copies`` as well."""
        return replace(self, copies=copies)

    def _copy(self, text: str) -> None:
        if self.copies is not None:
            self.copies.append(printable(text))

    def _write(self, text: str) -> None:
        lines = "\n".join(printable(line) for line in text.split("\n"))
        if self.lines is not None:
            self.lines(lines)
            return
        if self._bar is not None:
            from rich.text import Text

            self._bar.console.print(Text(lines), soft_wrap=True)
            return
        with suppress(OSError):  # a full disk behind stderr must not end the work that the line is about
            _put(sys.stderr, lines + "\n")


_entered = [Console()]
_of_this_thread: ContextVar[Console | None] = ContextVar("console", default=None)


def current() -> Console:
    """The console that this thread is `using`, in a worker thread the one that was entered last; else a plain one."""
    return _of_this_thread.get() or _entered[-1]


@contextmanager
def using(console: Console) -> Iterator[None]:
    """Make ``console`` the `current` one within a ``with`` statement."""
    _entered.append(console)
    before = _of_this_thread.set(console)
    try:
        yield
    finally:
        _of_this_thread.reset(before)
        _entered.remove(console)


@contextmanager
def speaking(leads: bool) -> Iterator[None]:
    """Mute the `current` console where another process of the run speaks for this one."""
    with using(current() if leads else replace(current(), mute=True)):
        yield


def finish() -> None:
    """Write out what stdout still holds. Raises ``OSError`` where it cannot be written, as on a full disk."""
    _put(sys.stdout, "")


_GONE = {errno.EPIPE, errno.EIO, errno.ESTALE, errno.EBADF} | ({errno.EINVAL} if os.name == "nt" else set())
"""What a write says whose pipe has no reader any more, or whose terminal or descriptor was closed."""


def _put(stream: TextIO | None, text: str) -> None:
    if stream is None:  # the caller closed it, and the work continues
        return
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        # Whoever listened has left, and a run of hours must not end for that. What is still buffered goes nowhere, or
        # Python would try again at its end and fail then.
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        if error.errno not in _GONE:
            raise OSError(error.errno, error.strerror, stream.name) from error
