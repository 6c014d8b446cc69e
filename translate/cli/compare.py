"""``gantk compare``: the figures of several runs side by side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from translate.cli import derived
from translate.console import current
from translate.errors import UsageError
from translate.evaluation.compare import comparable, compare, latest, replicas
from translate.fields import Spelling


@dataclass(frozen=True, kw_only=True)
class Options:
    """Compare the figures of several runs, and mark differences that may be noise.

    They are those that gantk evaluate found, and every run is held against the first. Results of other pictures or
    settings are refused.
    """

    runs: Annotated[
        tuple[Path, ...],
        "run folders, model files or files of results, two or more",
        Spelling(positional=True, metavar="RUN"),
    ]

    def __post_init__(self) -> None:
        if len(self.runs) < 2:
            raise UsageError("expected two or more runs to compare")


def show(options: Options) -> None:
    """Show one row for each figure and run."""
    results = comparable([latest(path) for path in options.runs])
    rows = []
    for verdict in compare(results):
        interval = f"{verdict.interval.low:+.3g} to {verdict.interval.high:+.3g}"
        rows.append(
            {
                "figure": verdict.figure,
                "run": verdict.label,
                "value": f"{verdict.other.value:.5g}",
                "first": f"{verdict.first.value:.5g}",
                "difference": f"{verdict.difference:+.4g}",
                "95 % interval": f"{interval}, by picture" if verdict.paired else interval,
                "verdict": verdict.words,
            }
        )
    console = current()
    console.line(f"first: {results[0].label}")
    alike = sum(map(len, replicas(results)))
    if alike:
        console.line(f"{alike} of these runs differ from another in the seed alone: intervals include training's noise")
    else:
        console.line(
            "intervals are of the pictures alone; a run with another --seed beside these would say how much "
            "training varies"
        )
    console.table(rows)


command = derived.command("compare", Options, show)
