"""The record of a photo, which tells a program, the contact sheet and the summary what became of it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from translate.infer.plan import Job
from translate.infer.summary import Entry, Status


def entry_of(job: Job, status: Status, *, output: Path | None = None, **more: Any) -> Entry:
    """The record of a photo whose result is ``output``; a ``failed`` one has a ``reason``."""
    return {"input": str(job.path), "output": None if output is None else str(output), "status": status, **more}


def written(job: Job, *, overwrite: bool) -> Path | None:
    """Where the result of a photo is that need not be made again; None where it is to be made."""
    paths = () if overwrite else (job.target, job.alternative)
    return next((path for path in paths if os.path.lexists(path) and not path.is_dir()), None)


def seed_of(job: Job, seed: int) -> int:
    """Of what a photo draws: depends on its place below ``out``, not on what else is there."""
    text = f"{seed}:{os.fsencode(job.target.relative_to(job.out))!r}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
