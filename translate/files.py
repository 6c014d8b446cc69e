"""Writing files so that they appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from translate.errors import UsageError, one_line


def make_folder(folder: Path, said: str) -> None:
    """Create a folder for results where it is missing, and try whether a file can be made in it.

    Raises ``UsageError`` that begins with ``said``, the flag and its value, before any work is done for nothing.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"{said}: a file is in the way; expected a folder") from None
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise UsageError(f"{said}: cannot be written to ({reason[:1].lower()}{reason[1:]})") from None


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Call ``write`` with a temporary name beside ``path``, flush it to the disk and rename it to ``path``.

    A crash at any moment leaves the old file or the new one. A leftover temporary name starts with a dot and ends in
    ``.part``.
    """
    # A digest and not the name itself, which may be as long as a file system allows.
    temporary = path.with_name(f".{zlib.crc32(os.fsencode(path.name)):08x}.{os.getpid()}.part")
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_text_whole(path: Path, text: str) -> None:
    """Write UTF-8 text with ``\\n`` line ends, whole or not at all."""
    write_whole(path, lambda temporary: temporary.write_bytes(text.encode()))


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


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed process left half-written in ``folder``."""
    for leftover in folder.glob(".*.part"):
        leftover.unlink(missing_ok=True)
