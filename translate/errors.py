"""What can go wrong, each with the exit code that `gantk` documents."""

import difflib
from collections.abc import Iterable

NEAR = 0.7
"""The share of letters in order that two names must have in common for one to count as a misspelling of the other."""

INTERRUPTED = 130
"""The exit code of what Ctrl-C ends."""


class GantkError(Exception):
    """A failure with a one-line message for the user: it names the file, flag or key and what was expected."""

    exit_code = 1


class UsageError(GantkError):
    """Wrong usage or configuration, found before any work is done (exit 2)."""

    exit_code = 2


class SomeFailedError(GantkError):
    """Some inputs failed, the others were done (exit 3)."""

    exit_code = 3


class LostDataError(GantkError):
    """The training data can no longer be read: a disk or a network share is gone. What was trained is not lost."""


class DivergedError(GantkError):
    """A loss or a gradient was not finite (exit 4)."""

    exit_code = 4


class DeadError(GantkError):
    """A run of which nothing can come any more was stopped (exit 4)."""

    exit_code = 4


class InterruptedRunError(GantkError):
    """Ctrl-C (130) or SIGTERM (143) ended the work after it was saved."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def one_line(error: BaseException, most: int = 300) -> str:
    """An exception's message, on one line of at most ``most`` characters; its type where it has none."""
    if isinstance(error, UnicodeDecodeError):  # whose own words are of Python
        return f"no {error.encoding.upper()} text from its byte {error.start:,} on"
    return " ".join(str(error).split())[:most] or type(error).__name__


def shortened(text: object, most: int = 80) -> str:
    """Text from a file, which may have any length, on one line of at most ``most`` characters."""
    line = " ".join(str(text)[: 2 * most].split())
    return line if len(line) <= most else f"{line[: most - 3]}..."


def named_line(error: BaseException, most: int = 300) -> str:
    """As ``one_line``, with the type in front: ``ValueError: message``."""
    named = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return named[:most].rstrip(": ")


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """`` (did you mean ...?)``, or nothing where no known name is near: a wrong hint is worse than none.

    Near is a name with a slip of the fingers, and one that begins with the given words or with which these begin.
    """
    plain = {name.lstrip("-"): name for name in known}
    bare = given.lstrip("-")
    near = difflib.get_close_matches(bare, plain, n=1, cutoff=NEAR)
    near = near or [name for name in plain if f"{bare}-".startswith(f"{name}-") or f"{name}-".startswith(f"{bare}-")]
    return f" (did you mean {plain[near[0]]}?)" if near else ""
