"""Results appear in the output folder whole or not at all."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

from translate.errors import GantkError
from translate.files import write_whole

T = TypeVar("T")

FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
"""Numbers of the errors that mean a full disk."""


class TakenError(GantkError):
    """Another file took the output's name while its photo was translated."""


class DiskFullError(GantkError):
    """A result does not fit onto the disk, nor would those that follow."""

    def __init__(self, target: Path, most: int) -> None:
        try:
            free = f", {shutil.disk_usage(target.parent).free:,} are free"
        except OSError:
            free = ""
        super().__init__(
            f"{target}: the disk is full (up to {most:,} bytes are needed{free}); the other photos are skipped"
        )


def write_result(target: Path, write: Callable[[BinaryIO], T], *, overwrite: bool, most: int = 0) -> T:
    """Create ``target`` by what ``write`` puts into a file; whole or not at all, even if the machine stops.

    Without ``overwrite``, a file that was created meanwhile is left alone (``TakenError``). Raises ``DiskFullError``;
    ``most``: bytes that the file may take.
    """

    def fill(temporary: Path) -> T:
        with temporary.open("w+b") as file:
            return write(file)

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return write_whole(target, fill, replace=overwrite)
    except FileExistsError:
        if not target.parent.is_dir():
            raise
        raise TakenError("another file took the name of its result meanwhile") from None
    except OSError as error:
        if error.errno in FULL:
            raise DiskFullError(target, most) from None
        raise
