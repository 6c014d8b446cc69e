"""One writer for a run folder: a file that names the process that trains in it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from translate.errors import UsageError
from translate.files import temporary_beside
from translate.owner import Owner, current

LOCK = "run.lock"


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
            continue  # released or replaced meanwhile
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
    except (ValueError, KeyError, TypeError, OverflowError):
        with suppress(OSError):
            path.unlink()
        return None


def _remove(path: Path, owner: Owner) -> None:
    """Remove the lock of a dead owner, and no lock that came in its place meanwhile."""
    aside = temporary_beside(path)
    try:
        path.replace(aside)
    except FileNotFoundError:
        return
    if read(aside) != owner:
        with suppress(OSError):
            os.link(aside, path)
    aside.unlink(missing_ok=True)


def _created(path: Path, owner: Owner) -> bool:
    """Whether the lock could be created; it appears with its content or not at all."""
    fresh = temporary_beside(path)
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
