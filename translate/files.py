"""Files and folders that appear whole or not at all, and the one rule for what killed processes leave behind."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TypeVar

from translate import owner
from translate.errors import UsageError, one_line

T = TypeVar("T")

_TEMPORARY = re.compile(r"\.gantk-[0-9a-f]{8}-([0-9a-f]{8}-\d{1,10}-\d*)-\d+\.part")
_STALE = 24 * 3600
"""Seconds after which a leftover is removed whose process is out of sight: on another host, in another container."""
_numbers = count()


def make_folder(folder: Path, flag: str, *, below: bool = False) -> None:
    """Create a folder for results where it is missing, remove leftovers from it, and check that a file can be created.

    ``below``: remove them from the folders below it, too. Raises ``UsageError`` that begins with ``flag``, the flag and
    its value, before any work is done in vain.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"{flag}: a file is in the way; expected a folder") from None
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise UsageError(f"{flag}: cannot be written to ({reason[:1].lower()}{reason[1:]})") from None
    remove_leftovers(folder, below=below)


def own_temporary_folder(name: str) -> Path:
    """Where a cache of that name lies, a folder of this user's alone that may not exist yet.

    Raises ``PermissionError`` where it belongs to another user, who could have put anything there.
    """
    folder = Path(tempfile.gettempdir()) / name
    if sys.platform != "win32":
        folder = folder.with_name(f"{name}-{os.getuid()}")
        if folder.exists() and folder.stat().st_uid != os.getuid():
            raise PermissionError(f"{folder} belongs to another user")
    return folder


def write_whole(path: Path, write: Callable[[Path], T], *, replace: bool = True) -> T:
    """Call ``write`` with a temporary name beside ``path``, flush the file to the disk and rename it to ``path``.

    A crash at any moment leaves the old file or the new one. Returns what ``write`` returned. Without ``replace``,
    raises ``FileExistsError`` where ``path`` exists by now.
    """
    temporary = temporary_beside(path)
    try:
        value = write(temporary)
        put_in_place(temporary, path, replace=replace)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    return value


def write_text_whole(path: Path, text: str) -> None:
    """Write UTF-8 text with ``\\n`` line ends, whole or not at all."""
    write_whole(path, lambda temporary: temporary.write_bytes(text.encode()))


def write_folder_whole(folder: Path, write: Callable[[Path], T]) -> T:
    """Call ``write`` with a new temporary folder beside ``folder``, and rename it to ``folder``, which must not exist.

    ``write`` writes each file with ``write_whole``, which flushes it to the disk. Returns what ``write`` returned.
    """
    temporary = temporary_beside(folder)
    temporary.mkdir()
    try:
        value = write(temporary)
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(folder.parent)
    return value


def temporary_beside(path: Path) -> Path:
    """A name beside ``path`` that no other writer uses, and that names this process for ``remove_leftovers``."""
    # A digest and not the name itself, which may be as long as a file system allows.
    digest = zlib.crc32(os.fsencode(path.name))
    return path.with_name(f".gantk-{digest:08x}-{owner.current().mark}-{next(_numbers)}.part")


def put_in_place(temporary: Path, path: Path, *, replace: bool = True) -> None:
    """Flush a finished file to the disk and rename it to ``path``. Raises as ``write_whole``."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    if not replace and os.path.lexists(path):
        raise FileExistsError(f"{path} exists by now")
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` durable, where the system lets a folder be opened (not on Windows) and synced."""
    if os.name == "nt":
        return
    # Some file systems (FUSE, network shares) refuse this with EINVAL or ENOTSUP, and a folder may be writable without
    # being readable. The file itself is on the disk and in its place by now, so that is no failure to report.
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def is_leftover(path: Path) -> bool:
    """Whether a file or folder was left half-written by a process that has ended, as far as can be known from here."""
    if (match := _TEMPORARY.fullmatch(path.name)) is None:
        return False
    process = owner.current().of_mark(match.group(1))
    if process is not None:
        return not process.alive()
    try:
        return time.time() - max(each.lstat().st_mtime for each in (path, *path.rglob("*"))) > _STALE
    except OSError:  # somebody is busy with it
        return False


def remove_leftovers(folder: Path, *, below: bool = False) -> None:
    """Remove what killed processes left half-written in ``folder``, with ``below`` also in the folders below it.

    What living processes are writing stays, and so does what a process out of sight may still be writing.
    """
    for place, folders, files in os.walk(folder):
        for path in (Path(place, name) for name in (*folders, *files)):
            if is_leftover(path):
                with suppress(OSError):
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
        if not below:
            return
