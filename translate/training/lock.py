"""One writer for a run folder: a file that names the process that trains in it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from translate.errors import UsageError

LOCK = "run.lock"


@dataclass(frozen=True)
class Owner:
    """A process, told apart from a later one of the same number by when it began."""

    host: str
    space: str
    """Where process numbers mean the same: the namespace of a container, where the system has such."""
    pid: int
    began: str

    def alive(self) -> bool | None:
        """Whether the process still runs; None where that cannot be known from here."""
        here = current()
        if (self.host, self.space) != (here.host, here.space):
            return None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except OSError:  # it is there, and somebody else's
            return True
        return _began(self.pid) in ("", self.began)


def current() -> Owner:
    """This process."""
    space = ""
    with suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 -- not a path
    return Owner(platform.node(), space, os.getpid(), _began(os.getpid()))


@contextmanager
def locked(folder: Path, *, take_over: bool = False) -> Iterator[None]:
    """Hold the folder's lock. A dead owner's is taken over, and with ``take_over`` also one on another machine.

    Raises ``UsageError`` that names the process where another one holds it.
    """
    path = folder / LOCK
    own = current()
    while not _created(path, own):
        other = read(path)
        if other is None:
            continue  # released, or replaced, between two looks
        alive = other.alive()
        if alive or (alive is None and not take_over):
            which = f"process {other.pid} on {other.host}"
            hint = "" if alive else "; if it has ended, --take-over continues the run here"
            raise UsageError(f"--out {folder}: {which} is training in it{hint}")
        _remove(path, other)
    try:
        yield
    finally:
        if read(path) == own:
            with suppress(OSError):
                path.unlink()


def read(path: Path) -> Owner | None:
    """Who holds a lock; None where nobody does. A damaged file is nobody's and is removed."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return Owner(str(fields["host"]), str(fields["space"]), int(fields["pid"]), str(fields["began"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        with suppress(OSError):
            path.unlink()
        return None


def _remove(path: Path, owner: Owner) -> None:
    """Remove the lock of a dead owner, and no lock that came in its place meanwhile."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.stale.part")
    try:
        path.replace(aside)
    except FileNotFoundError:
        return
    if read(aside) != owner:
        with suppress(OSError):
            os.link(aside, path)
    aside.unlink(missing_ok=True)


def _created(path: Path, owner: Owner) -> bool:
    """Whether the lock could be made; it appears with its content or not at all."""
    fresh = path.with_name(f".{path.name}.{owner.pid}.part")
    fresh.write_text(json.dumps(asdict(owner)), encoding="utf-8")
    try:
        os.link(fresh, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(json.dumps(asdict(owner)))
        except FileExistsError:
            return False
    finally:
        fresh.unlink(missing_ok=True)
    return True


def _began(pid: int) -> str:
    """When a process began, in the kernel's ticks; empty where the system does not say."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]
