"""Who does the photos."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from translate.infer.plan import Job
from translate.infer.summary import Entry


class Engine(Protocol):
    """Who does the photos. ``batch``: how many of equal size run together; ``seconds``: spent in each stage."""

    seconds: dict[str, float]

    @property
    def batch(self) -> int: ...

    def place(self) -> str:
        """Where the photos are done, for people."""

    def run(self, jobs: Iterable[Job], report: Callable[[Entry], None]) -> None:
        """Do all of them, and ``report`` the record of each."""
