"""Which curves a page has: the names of a run's values, sorted into groups of charts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from translate.report.folder import RunFolder
from translate.training.validation import HIGHER

SCORES = ("real", "fake", "sign")
SPEED = {"images_per_s": "Pictures per second", "waiting": "Share of the time spent waiting for data"}
MEMORY = {"memory_gib": "Most memory so far, GiB"}
ORDER = ("Held-out pictures", "Phase", "Discriminator scores", "Gradient norms", "Learning rates", "Health", "Speed")
"""Groups as a page has them; there is one for each phase."""


@dataclass
class Chart:
    """One chart: a line for each run and each of ``lines``, by the name of the value.

    ``error``: the name of the standard error of the first, whose 95 % interval is drawn.
    """

    group: str
    title: str
    lines: dict[str, str] = field(default_factory=dict)
    error: str = ""
    hint: str = ""


def charts_of(names: Iterable[str]) -> list[Chart]:
    """The charts for values of these names, group by group."""
    charts: dict[tuple[str, str], Chart] = {}
    known = list(dict.fromkeys(names))
    for name in known:
        if (found := _place(name, known)) is None:
            continue
        chart, label = found
        charts.setdefault((chart.group, chart.title), chart).lines[name] = label
    return sorted(charts.values(), key=lambda chart: _rank(chart.group))


def _rank(group: str) -> int:
    return next((number for number, name in enumerate(ORDER) if group.startswith(name)), len(ORDER))


def _place(name: str, known: list[str]) -> tuple[Chart, str] | None:
    """The chart of a value, and the label of its line where the chart has several."""
    first, _, last = name.partition("/")
    if name in SPEED or name in MEMORY:
        return Chart("Speed and memory", (SPEED | MEMORY)[name]), ""
    if not last:
        return None  # step, epoch
    if first == "eval":
        if name.endswith("_error") and name.removesuffix("_error") in known:
            return None
        error = f"{name}_error" if f"{name}_error" in known else ""
        hint = "higher is better" if last in HIGHER else "lower is better"
        return Chart("Held-out pictures", last, error=error, hint=hint), ""
    if first == "health":
        return Chart("Health", last.replace("/", ": ").replace("_", " ")), ""
    if last == "grad_norm":
        return Chart("Gradient norms", first), ""
    if last == "lr":
        return Chart("Learning rates", first), ""
    role, _, kind = last.rpartition("_")
    if role and kind in SCORES and {f"{first}/{role}_{each}" for each in SCORES} <= set(known):
        if kind == "sign":
            return Chart("Discriminator scores", f"{role}: mean sign on real pictures"), ""
        return Chart("Discriminator scores", f"{role}: on real and on generated pictures"), kind
    return Chart(f"Phase {first}", last), ""


def rows_of(chart: Chart, runs: Iterable[RunFolder]) -> Iterator[dict[str, Any]]:
    """The same as a table: first, last, least and greatest value of each line."""
    for run in runs:
        for name, label in chart.lines.items():
            if (series := run.records.series.get(name)) is not None:
                values = series.values
                yield {
                    "value": f"{chart.title} ({label})" if label else chart.title,
                    "run": run.name,
                    "first": f"{values[0]:.4g}",
                    "last": f"{values[-1]:.4g}",
                    "least": f"{min(values):.4g}",
                    "greatest": f"{max(values):.4g}",
                }


def numbers_of(run: RunFolder, names: Iterable[str]) -> dict[str, list[list[float]]]:
    """The points of a run's series by name: steps and values, in five digits."""
    found: dict[str, list[list[float]]] = {}
    for name in names:
        if (series := run.records.series.get(name)) is not None:
            points = series.thinned()
            found[name] = [[step for step, _ in points], [float(f"{value:.5g}") for _, value in points]]
    return found
