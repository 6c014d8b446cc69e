"""``gantk health``: what went wrong in a run, in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from translate.cli import derived
from translate.console import current
from translate.fields import Spelling
from translate.training.layout import METRICS, check_run


@dataclass(frozen=True, kw_only=True)
class Options:
    """Show what went wrong in a run, from its records.

    Nothing is shown where nothing was found. What a run finds while it trains stands in its metrics.jsonl too.
    """

    run: Annotated[Path, "run folder", Spelling(positional=True, metavar="RUN")]


def show(options: Options) -> None:
    """One row for each thing that is wrong."""
    file = options.run / METRICS
    check_run(options.run, METRICS)
    from translate.modelfile.model import load_published
    from translate.training.health import Watch, examine, read_records

    published = load_published(options.run)
    phases = published.task.phases(published.data)
    found = examine(Watch.of(published.task, phases), read_records(file))
    console = current()
    console.table(
        [
            {
                "since step": finding.since,
                "what": finding.what,
                "advice": finding.advice,
                "certain": "yes" if finding.certain else "no",
            }
            for finding in found
        ]
    )
    if not found:
        console.line(f"{options.run}: nothing found")


command = derived.command("health", Options, show)
