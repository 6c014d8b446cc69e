"""Results appear in the output folder whole or not at all."""

from __future__ import annotations

import errno
import itertools
import os
import re
import shutil
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from translate.errors import GantkError
from translate.files import sync_folder

T = TypeVar("T")

_HOST = re.sub(r"[^A-Za-z0-9]", "", socket.gethostname())[:32] or "host"
_NAME = re.compile(r"\.gantk-([A-Za-z0-9]+)-(\d+)-\d+\.part")
_numbers = itertools.count()
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_STALE = 24 * 3600
"""Seconds after which another machine's temporary file counts as left behind."""


class TakenError(GantkError):
    """The output's name was taken while its photo was being done."""


class DiskFullError(GantkError):
    """A result does not fit onto the disk, nor would those that follow."""

    def __init__(self, target: Path, most: int) -> None:
        try:
            free = f", {shutil.disk_usage(target.parent).free:,} are free"
        except OSError:
            free = ""
        super().__init__(f"{target}: the disk is full (up to {most:,} bytes are needed{free}); the rest is not begun")


def write_result(target: Path, write: Callable[[BinaryIO], T], *, overwrite: bool, most: int = 0) -> T:
    """Create ``target`` by what ``write`` puts into a file; whole or not at all, also if the machine stops.

    The temporary name is short, so that a name of the greatest length that the system takes can be written. Without
    ``overwrite``, a file that has come into being meanwhile is left alone (``TakenError``). Raises ``DiskFullError``;
    ``most``: bytes that the file may take.
    """
    temporary = target.parent / f".gantk-{_HOST}-{os.getpid()}-{next(_numbers)}.part"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            value = write(file)
            file.flush()
            os.fsync(file.fileno())
        if not overwrite and os.path.lexists(target):
            raise TakenError("another file took the name of its result meanwhile")
        temporary.replace(target)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _FULL:
            raise DiskFullError(target, most) from None
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
