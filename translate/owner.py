"""Which process something on the disk belongs to, and whether that process still runs."""

from __future__ import annotations

import os
import platform
import sys
import zlib
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

if sys.platform == "win32":
    import ctypes


@dataclass(frozen=True)
class Owner:
    """A process. ``began`` distinguishes it from a later one with the same number."""

    host: str
    space: str
    """Where process numbers mean the same: the namespace of a container, where the system has such."""
    pid: int
    began: str

    @property
    def mark(self) -> str:
        """The process as part of a file name."""
        return f"{self._place}-{self.pid}-{self.began}"

    def of_mark(self, mark: str) -> Owner | None:
        """The process of a mark, if it belongs to this one's host and namespace."""
        place, pid, began = mark.split("-")
        return replace(self, pid=int(pid), began=began) if place == self._place else None

    def alive(self) -> bool | None:
        """Whether the process still runs; None where that cannot be known from here."""
        here = current()
        if (self.host, self.space) != (here.host, here.space):
            return None
        return _exists(self.pid) and _began(self.pid) in ("", self.began)

    @property
    def _place(self) -> str:
        return f"{zlib.crc32(os.fsencode(f'{self.host}/{self.space}')):08x}"


def current() -> Owner:
    """This process."""
    space = ""
    with suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 -- not a path
    return Owner(platform.node(), space, os.getpid(), _began(os.getpid()))


def _exists(pid: int) -> bool:
    if sys.platform == "win32":  # where os.kill(pid, 0) is Ctrl-C
        synchronize, still_runs = 0x100000, 258
        if not (handle := ctypes.windll.kernel32.OpenProcess(synchronize, False, pid)):
            return False
        running = ctypes.windll.kernel32.WaitForSingleObject(handle, 0) == still_runs
        ctypes.windll.kernel32.CloseHandle(handle)
        return bool(running)
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it exists and is another user's
        return True
    return True


def _began(pid: int) -> str:
    """When a process began, in the kernel's ticks; empty where the system does not report it.

    "ended" for a killed one whose parent has yet to notice.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()
    return "ended" if fields[0] in ("Z", "X") else fields[19]
