"""``gantk train MODEL`` of one model: from its flags to the run."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge
from rich.markup import escape
from typer.core import TyperCommand

from translate import config, plugins
from translate.cli import derived
from translate.cli.launch import DEFAULT_RESTARTS, launch, warn_of_separate_tasks
from translate.console import current
from translate.contract import TaskModel
from translate.device import keep_freed_memory
from translate.distributed import World, world_from_environment
from translate.fields import Spelling, fields_of
from translate.modelfile.header import FILE_NAME
from translate.plugins import Plugin
from translate.report.live import LiveReport
from translate.report.page import REPORT
from translate.training.journal import Journal
from translate.training.request import make_request, tables_of
from translate.training.run import plan, train
from translate.training.trackers import load_trackers


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a training takes besides the fields of its source, its model and the run."""

    out: Annotated[Path | None, "run folder, new or empty (default runs/MODEL-N; with --resume the latest of them)"] = (
        None
    )
    config: Annotated[
        tuple[Path, ...],
        "TOML file, over the defaults and under the flags, a further one over the one before; its paths are relative "
        "to the current folder",
        Spelling(metavar="FILE"),
    ] = ()
    nproc: Annotated[
        int,
        "processes on this machine, one per GPU, that share each batch; torchrun does the same over many machines",
        Ge(1),
    ] = 1
    max_restarts: Annotated[
        int, "with --nproc: how often all go back to the last checkpoint after one of them was killed", Ge(0)
    ] = DEFAULT_RESTARTS
    take_over: Annotated[bool, "with --resume, continue a run whose process was on another machine and has ended"] = (
        False
    )
    resume: Annotated[
        bool, "resume the run in --out; settings of the model, batch, size and seed must stay what they were"
    ] = False
    dry_run: Annotated[bool, "check data and settings, show the plan, write nothing"] = False
    tensorboard: Annotated[bool, "write TensorBoard files beside metrics.jsonl; as --tracker tensorboard"] = False
    tracker: Annotated[tuple[str, ...], "an installed tracker that follows the run", Spelling(metavar="NAME")] = ()


OPTIONS = fields_of(Options, "output")


def command_for(name: str, plugin: Plugin) -> TyperCommand:
    """Import the plugin and make its command."""
    cls = plugins.load_plugin(plugin)
    fields = tables_of(cls)
    panels = {"data": "Data", "model": cls.__name__, "run": "Run"}
    parameters = [
        derived.typer_parameter(field, panels[table])
        for table in fields
        for field in fields[table]
        if field.shape != "config"
    ]
    parameters += [derived.typer_parameter(field, "Output") for field in OPTIONS]

    def action(**values: Any) -> int | None:
        options = config.build(Options, OPTIONS, derived.given_flags(OPTIONS, values), name)
        given = {table: derived.given_flags(fields[table], values) for table in fields}
        with plugins.blamed(plugin):
            return _train(name, cls, given, options)

    title = inspect.getdoc(cls) or plugin.summary
    note = f"\n\nPlugin {plugin.origin}. Keys of --config files: \\[data], \\[model] and \\[run], named as the flags."
    return derived.make_command(name, action, parameters, help=escape(title) + note)


def _train(name: str, cls: type[TaskModel], given: config.Layer, options: Options) -> int | None:
    console = current()
    names = [*options.tracker, *(["tensorboard"] if options.tensorboard else [])]
    with Journal({REPORT: LiveReport(), **load_trackers(names)}) as journal:
        request = make_request(
            name,
            cls,
            given,
            out=options.out,
            configs=options.config,
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
