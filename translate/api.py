"""Training for programs: ``translate.train``, through the functions that the command line calls."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from translate import plugins
from translate.config import read_overlays
from translate.console import current, using
from translate.model import Place, path_of, values_of
from translate.report.live import LiveReport
from translate.report.page import REPORT
from translate.training.journal import Journal
from translate.training.request import make_request, tables_of
from translate.training.run import train as train_request
from translate.training.trackers import load_trackers


def train(
    plugin: str,
    /,
    *,
    out: Place | None = None,
    config: Place | Sequence[Place] = (),
    resume: bool = False,
    tensorboard: bool = False,
    tracker: Sequence[str] = (),
    quiet: bool = False,
    **flags: Any,
) -> Path:
    """Train a model as ``gantk train`` does; returns the run folder, which ``load`` takes.

    ``plugin``: its name, as ``gantk plugins`` lists it. ``flags``: those of ``gantk train`` for this model, by the
    same names: its data (``a="horses/"``), its hyper-parameters and the run's (``size=128, steps=1000``). ``out``: the
    run folder, new or empty [runs/PLUGIN-N]. ``config``: a TOML file, or several, each over the one before, over the
    defaults and under the flags. ``resume``: continue the run in ``out``. ``tracker``: installed trackers that follow
    the run. Progress is written to stderr unless ``quiet``; ``using`` a ``Console`` of your own receives it.

    Raises ``UsageError`` before anything is written, and other ``GantkError`` where training fails.
    """
    found = plugins.find(plugin)
    cls = plugins.load_plugin(found)
    tables = tables_of(cls)
    known = {field.name: field for fields in tables.values() for field in fields}
    values = values_of(known, flags)
    given = {
        table: {field.name: values[field.name] for field in fields if field.name in values}
        for table, fields in tables.items()
    }
    files = [config] if isinstance(config, (str, PathLike)) else config
    trackers = {REPORT: LiveReport(), **load_trackers([*tracker, *(["tensorboard"] if tensorboard else [])])}
    with plugins.blamed(found), using(current().quieted(quiet)), Journal(trackers) as journal:
        request = make_request(
            plugin,
            cls,
            given,
            out=None if out is None else path_of(out),
            overlays=read_overlays(map(path_of, files), tables, plugin),
            resume=resume,
        )
        return train_request(request, journal)
