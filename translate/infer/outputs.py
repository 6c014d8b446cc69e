"""Results appear in the output folder whole or not at all."""

from __future__ import annotations

import itertools
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

from translate.errors import GantkError
from translate.files import sync_folder

T = TypeVar("T")

_HOST = re.sub(r"[^A-Za-z0-9]", "", socket.gethostname())[:32] or "host"
_NAME = re.compile(r"\.gantk-([A-Za-z0-9]+)-(\d+)-\d+\.part")
_numbers = itertools.count()
_STALE = 24 * 3600
"""Seconds after which another machine's temporary file counts as left behind."""


class TakenError(GantkError):
    """The output's name was taken while its photo was being done."""


def write_result(target: Path, write: Callable[[BinaryIO], T], *, overwrite: bool) -> T:
    """Create ``target`` by what ``write`` puts into a file; whole or not at all, also if the machine stops.

    The temporary name is short, so that a name of the greatest length that the system takes can be written. Without
    ``overwrite``, a file that has come into being meanwhile is left alone (``TakenError``).
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".gantk-{_HOST}-{os.getpid()}-{next(_numbers)}.part"
    try:
        with temporary.open("xb") as file:
            value = write(file)
            file.flush()
            os.fsync(file.fileno())
        if not overwrite and os.path.lexists(target):
            raise TakenError("another file took the name of its result meanwhile")
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)
    return value


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left half-written below ``folder``, but not what living ones are writing."""
    for place, _, names in os.walk(folder):
        for name in names:
            if match := _NAME.fullmatch(name):
                path = Path(place, name)
                host, process = match.group(1), int(match.group(2))
                if host == _HOST and os.name != "nt":
                    dead = process != os.getpid() and not _alive(process)
                else:
                    dead = _age(path) > _STALE
                if dead:
                    path.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


class Gate:
    """Admits what is decoded ahead, in order, as long as its pixels fit into a budget (or nothing else is inside)."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._inside = 0
        self._next = 0
        self._changed = threading.Condition()
        self._open = True

    def enter(self, ticket: int, pixels: int) -> bool:
        """Wait for this ticket's turn and for room; False where the gate was closed meanwhile.

        Tickets count from 0, and each must enter (with 0 pixels if need be).
        """
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    not self._open
                    or (ticket == self._next and (not self._inside or self._inside + pixels <= self._budget))
                )
            )
            self._next += 1
            self._inside += pixels
            self._changed.notify_all()
            return self._open

    def leave(self, pixels: int) -> None:
        """Give the pixels back."""
        with self._changed:
            self._inside -= pixels
            self._changed.notify_all()

    def close(self) -> None:
        """Let everybody go."""
        with self._changed:
            self._open = False
            self._changed.notify_all()
