"""``gantk train MODEL`` once its flags are checked: what needs torch and the plugin."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from translate import config, plugins
from translate.cli.description import Description, keep
from translate.cli.launch import launch, warn_of_separate_tasks
from translate.cli.train_options import Options
from translate.console import current
from translate.contract import TaskModel
from translate.device import keep_freed_memory
from translate.distributed import World, world_from_environment
from translate.errors import UsageError
from translate.modelfile.header import FILE_NAME
from translate.plugins import Plugin
from translate.report.live import LiveReport
from translate.report.page import REPORT
from translate.training.journal import Journal
from translate.training.request import make_request, tables_of
from translate.training.run import plan, train
from translate.training.trackers import load_trackers


def describe(plugin: Plugin) -> Description:
    """Import the plugin and read its flags."""
    return _described(plugin, plugins.load_plugin(plugin))


def start(
    name: str,
    plugin: Plugin,
    options: Options,
    given: config.Layer,
    overlays: Sequence[config.Layer],
    kept: Description | None,
) -> int | None:
    """Train with checked settings.

    ``kept``: the description that they were checked by, None where that was the plugin itself. Raises ``UsageError``
    where the plugin has other flags by now.
    """
    cls = plugins.load_plugin(plugin)
    if kept is not None and _types(now := _described(plugin, cls)) != _types(kept):
        keep(plugin, now)  # they depend on more than files: on the environment, on a data set
        raise UsageError(f"plugin {plugin.origin}: its flags are not those of its last start; run the command again")
    with plugins.blamed(plugin):
        return _train(name, cls, options, given, overlays)


def _described(plugin: Plugin, cls: type[TaskModel]) -> Description:
    return Description(inspect.getdoc(cls) or plugin.summary, cls.__name__, tables_of(cls))


def _types(description: Description) -> list[tuple[str, str, Any]]:
    """What flags are checked by."""
    return [(table, field.name, field.annotation) for table, fields in description.tables.items() for field in fields]


def _train(
    name: str, cls: type[TaskModel], options: Options, given: config.Layer, overlays: Sequence[config.Layer]
) -> int | None:
    console = current()
    names = [*options.tracker, *(["tensorboard"] if options.tensorboard else [])]
    with Journal({REPORT: LiveReport(), **load_trackers(names)}) as journal:
        request = make_request(
            name,
            cls,
            given,
            out=options.out,
            overlays=overlays,
            resume=options.resume,
            take_over=options.take_over,
        )
        World(size=options.nproc).places(request.run.batch, request.run.accumulate)
        if options.dry_run:
            _show_plan(plan(request))
            return None
        if options.nproc > 1:
            return launch(options.nproc, request.out, options.max_restarts)
        warn_of_separate_tasks()
        keep_freed_memory()
        folder = train(request, journal)
    if world_from_environment().leads:
        console.line(f"done: {folder}")
        console.record({"run": str(folder), "model": str(folder / FILE_NAME)})
    return None


def _show_plan(plan: Mapping[str, Any]) -> None:
    console = current()
    console.record(plan)
    width = max(map(len, plan))
    for key, value in plan.items():
        pairs = value.items() if isinstance(value, Mapping) else ()
        shown = ", ".join(f"{name}: {_value(inner)}" for name, inner in pairs) or _value(value)
        console.line(f"{key.replace('_', ' '):{width}}  {shown}")
    console.line("nothing was written (--dry-run)")


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " + ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)
