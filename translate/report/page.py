"""The report of runs as one page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from translate.report.charts import Chart, charts_of, numbers_of, rows_of
from translate.report.folder import RunFolder
from translate.report.pictures import Picture
from translate.report.render import duration, render

REPORT = "report.html"
"""The page of a run, in its folder."""
SLOWEST, FASTEST = 120, 4
"""Seconds between two times that a page of a run that trains loads itself."""

Address = Callable[[RunFolder, Picture], str]
"""Where a page finds a picture."""


def report(
    runs: Sequence[RunFolder], *, every: int = 0, address: Address | None = None, version: str | None = None
) -> str:
    """The page of some runs, which loads itself anew ``every`` so many seconds while one of them trains.

    ``address``: where the pictures are; in the page itself unless given. ``version``: what the server that the page
    comes from calls its state, if there is one, which is asked for what is new.
    """
    charts = charts_of(name for run in runs for name in run.records.series)
    names = {name for chart in charts for name in (*chart.lines, chart.error) if name}
    live = "file" if any(run.trains for run in runs) else ""
    data = {
        "runs": [_numbers(run, names) for run in runs],
        "charts": [{"title": chart.title, "lines": chart.lines, "error": chart.error} for chart in charts],
        "live": live if version is None else "served",
        "version": version,
        "every": min(SLOWEST, max(FASTEST, every)),
        "written": int(time.time()),
    }
    groups: dict[str, list[tuple[int, Chart]]] = {}
    for number, chart in enumerate(charts):
        groups.setdefault(chart.group, []).append((number, chart))
    return render(
        "report.html",
        title=", ".join(run.name for run in runs),
        runs=runs,
        galleries=[_gallery(run, address) for run in runs],
        groups=groups,
        rows=[list(rows_of(chart, runs)) for chart in charts],
        results=[run.results() for run in runs],
        settings=_settings(runs),
        figures_of=figures_of,
        data=data,
        connects=version is not None,
        script=("common.js", "curves.js", "compare.js", "report.js"),
    )


def _numbers(run: RunFolder, names: Iterable[str]) -> dict[str, Any]:
    """What the page's script draws of a run."""
    best = run.records.best()
    return {
        "name": run.name,
        "best": None if best is None else best.step,
        "notes": [{"step": note.since, "text": note.text} for note in run.records.notes],
        "series": numbers_of(run, names),
    }


def _gallery(run: RunFolder, address: Address | None) -> dict[str, Any]:
    """The pictures of a run with their addresses, how many it has, and how many were scaled down."""
    best = run.records.best()
    pictures, count = run.gallery.pictures([] if best is None else [best.step])
    return {
        "pictures": [(each, Markup(address(run, each) if address else each.uri)) for each in pictures],
        "count": count,
        "scaled": sum(each.shown_width < each.width for each in pictures),
    }


def _settings(runs: Sequence[RunFolder]) -> list[dict[str, Any]]:
    """Every setting with its value in each run, its default, and whether it differs from that or between the runs."""
    defaults = [run.defaults for run in runs]
    rows = []
    for key in dict.fromkeys(key for run in runs for key in run.settings):
        values = [run.settings.get(key) for run in runs]
        standard = next((known[key] for known in defaults if key in known), None)
        rows.append(
            {
                "key": key,
                "values": values,
                "default": standard,
                "changed": standard is not None and any(value not in (None, standard) for value in values),
                "differs": len(set(values)) > 1,
            }
        )
    return rows


def figures_of(run: RunFolder) -> Mapping[str, str]:
    """The few figures at the head of a page, by what they are."""
    records = run.records
    figures = {"Step": f"{run.step:,}" + (f" of {run.total:,}" if run.total else "")}
    if seconds := records.seconds(run.run_setting("batch", 1)):
        figures["Training time"] = duration(seconds)
    if speed := records.series.get("images_per_s"):
        figures["Pictures per second"] = f"{speed.values[-1]:.3g}"
    if memory := records.series.get("memory_gib"):
        figures["Most memory"] = f"{max(memory.values):.2g} GiB"
    if best := records.best():
        figures[f"Best {best.metric}"] = f"{best.value:.4g} at step {best.step:,}"
    return figures
