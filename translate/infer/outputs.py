"""Results appear in the output folder whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from translate.errors import GantkError
from translate.files import sync_folder
from translate.infer.claims import MACHINE, SUFFIX, claim_path, open_if_dead

T = TypeVar("T")

_NAME = re.compile(r"\.gantk-[0-9a-f]{16}\.part")
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


def write_result(
    target: Path, write: Callable[[BinaryIO], T], *, overwrite: bool, part: Path | None = None, most: int = 0
) -> T:
    """Create ``target`` by what ``write`` puts into a file; whole or not at all, also if the machine stops.

    ``part``: a temporary name beside it that nobody else uses. Without ``overwrite``, a file that has come into being
    meanwhile is left alone (``TakenError``). Raises ``DiskFullError``; ``most``: bytes that the file may take.
    """
    temporary = part or claim_path(target).with_suffix(".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
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
            if _NAME.fullmatch(name):
                part = Path(place, name)
                with suppress(OSError):
                    _remove_if_dead(part, part.with_suffix(SUFFIX))


def _remove_if_dead(part: Path, claim: Path) -> None:
    handle = open_if_dead(claim)
    if handle is None:
        return
    own = os.read(handle, 16).decode("ascii", "replace")
    if own in ("", MACHINE) or time.time() - part.stat().st_mtime > _STALE:
        part.unlink(missing_ok=True)
    if not own:  # there was no claim before
        claim.unlink(missing_ok=True)
    os.close(handle)
