"""Which process does which photo, where several ``gantk infer`` write into one folder, and what became of them.

Beside a photo's result lies a claim while the photo is being done: a file that its process holds locked, so that a dead
process holds none, in whatever container or on whichever host it ran. What a dead process was doing with the photo
stands in the file, which makes the claims a ledger of what was begun and never ended.
"""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

try:
    import fcntl
except ImportError:  # Windows, where a file that somebody has open cannot be deleted: that is the lock
    fcntl = None  # type: ignore[assignment]

Stage = Literal["waiting", "decode", "network", "encode"]

SUFFIX = ".claim"
HEARTBEAT, SILENCE = 15.0, 60.0
"""Seconds between two signs of life, and without one after which a process on another host counts as dead: some network
file systems do not share locks between hosts."""


def _machine() -> str:
    try:
        identity = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        identity = socket.gethostname()
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


MACHINE = _machine()
"""Equal in all containers of one machine until it is restarted."""


@dataclass
class Claim:
    """A photo that is ours to do. ``deaths``: processes that ended while they were at work on it."""

    path: Path
    handle: int
    deaths: int

    def note(self, stage: Stage) -> None:
        """Write down what is done with the photo now; a process that dies while it is ``waiting`` is not its fault."""
        with suppress(OSError):  # on a full disk the result cannot be written either, and that is reported
            os.lseek(self.handle, 0, os.SEEK_SET)
            os.write(self.handle, f"{MACHINE} {self.deaths} {stage:8}\n".encode())

    def release(self) -> None:
        """Give the photo back, done or failed."""
        if fcntl is None:
            os.close(self.handle)
        with suppress(OSError):
            self.path.unlink()
        if fcntl is not None:
            os.close(self.handle)

    def leave(self) -> None:
        """Give the photo back, but keep the count of deaths."""
        self.note("waiting")
        os.close(self.handle)


class Claims:
    """The claims of one process, which shows signs of life from ``start`` to ``close``."""

    def __init__(self) -> None:
        self._held: dict[Path, Claim] = {}
        self._last_sign: dict[Path, tuple[int, float]] = {}
        self._closed = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="claims", daemon=True)

    def start(self) -> None:
        """Begin to show signs of life."""
        self._heart.start()

    def take(self, target: Path) -> Claim | None:
        """The claim on the photo whose result is ``target``; None where a living process has it. Raises ``OSError``."""
        target.parent.mkdir(parents=True, exist_ok=True)
        path = claim_path(target)
        if (handle := open_if_dead(path)) is None:
            return None
        words = os.read(handle, 100).decode("ascii", "replace").split()
        deaths = 0
        if len(words) == 3 and words[1].isdigit():
            machine, count, stage = words
            if machine != MACHINE and self._shows_life(path, handle):
                os.close(handle)
                return None
            deaths = int(count) + (stage != "waiting")
        claim = Claim(path, handle, deaths)
        claim.note("waiting")
        self._held[path] = claim
        return claim

    def release(self, claim: Claim, *, keep: bool = False) -> None:
        """Give a photo back; ``keep``: with the count of deaths."""
        del self._held[claim.path]
        if keep:
            claim.leave()
        else:
            claim.release()

    def close(self) -> None:
        """Give all photos back."""
        self._closed.set()
        self._heart.join()
        for claim in list(self._held.values()):
            self.release(claim, keep=claim.deaths > 0)

    def _shows_life(self, path: Path, handle: int) -> bool:
        changed, now = os.fstat(handle).st_mtime_ns, time.monotonic()
        last, since = self._last_sign.get(path, (0, now))
        if changed != last:
            since = now
        self._last_sign[path] = (changed, since)
        return now - since < SILENCE

    def _beat(self) -> None:
        while not self._closed.wait(HEARTBEAT):
            for path in list(self._held):
                with suppress(OSError):
                    os.utime(path)


def claim_path(target: Path) -> Path:
    """Where the claim on a result lies."""
    return beside(target, SUFFIX)


def beside(target: Path, suffix: str) -> Path:
    """A hidden name beside a result: a short one, as the result's may be as long as the system allows."""
    return target.with_name(f".gantk-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}{suffix}")


def remove_if_dead(path: Path) -> None:
    """Remove the claim on a result that exists: its process died after it had written it."""
    if path.exists() and (handle := open_if_dead(path)) is not None:
        if fcntl is None:
            os.close(handle)
        path.unlink(missing_ok=True)
        if fcntl is not None:
            os.close(handle)


def open_if_dead(path: Path) -> int | None:
    """The claim, opened and locked; None where a living process holds it. Created where there is none."""
    while True:
        if fcntl is None:
            with suppress(FileNotFoundError):
                try:
                    path.unlink()
                except PermissionError:
                    return None
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if fcntl is not None:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                return None
            except OSError:  # a file system without locks: the signs of life decide
                pass
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        os.close(handle)  # whoever had it has just deleted it
