"""``gantk train MODEL``: every installed model with the flags of its source, its hyper-parameters and the run."""

from __future__ import annotations

import inspect
import logging
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from translate import plugins
from translate.cli.derived import DerivedCommand, make_command, option, switch
from translate.console import current
from translate.errors import UsageError
from translate.plugins import Plugin

if TYPE_CHECKING:
    from translate.contract import TaskModel
    from translate.fields import Field
    from translate.training.run import Request

RUNS = Path("runs")


class TrainGroup(TyperGroup):
    """The installed models as commands; listing them reads metadata and source text, and imports none."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names that select a model."""
        return list(plugins.selectable())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The model's command, built when it is used. Raises ``UsageError`` for a name that no plugin has."""
        from rich.markup import escape

        if cmd_name.startswith("-"):
            return None
        plugin = plugins.find(cmd_name)
        seen = plugins.peek(plugin)
        text = f"(broken: {seen.problem})" if seen.problem else seen.title
        return ModelCommand(cmd_name, plugin, help=escape(text))


class ModelCommand(DerivedCommand):
    """``gantk train MODEL`` of one model."""

    def __init__(self, name: str, plugin: Plugin, *, help: str) -> None:
        super().__init__(name, help=help)
        self.plugin = plugin

    def build(self) -> TyperCommand:
        """Import the plugin and make its command."""
        assert self.name is not None
        return command_for(self.name, self.plugin)


def command_for(name: str, plugin: Plugin) -> TyperCommand:
    """Import the plugin and make its command."""
    from rich.markup import escape

    from translate.config import typer_parameter
    from translate.fields import fields_of
    from translate.settings import Run

    cls = plugins.load_plugin(plugin)
    fields = {
        "data": fields_of(cls.source, "data"),
        "model": fields_of(cls, "model"),
        "run": fields_of(Run, "run", cls.recipe),
    }
    panels = {"data": "Data", "model": cls.__name__, "run": "Run"}
    parameters = [
        typer_parameter(field, panels[table]) for table in fields for field in fields[table] if field.shape != "config"
    ]

    def action(**values: Any) -> None:
        with plugins.blamed(plugin):
            _train(name, cls, fields, values)

    title = inspect.getdoc(cls) or plugin.summary
    note = f"\n\nPlugin {plugin.origin}. Keys of --config files: \\[data], \\[model] and \\[run], named as the flags."
    return make_command(name, action, [*parameters, *_own_parameters(name)], help=escape(title) + note)


def _own_parameters(name: str) -> list[inspect.Parameter]:
    panel = "Output"
    folder = typer.Option(
        None,
        "--out",
        metavar="PATH",
        rich_help_panel=panel,
        show_default=False,
        help=f"run folder, new or empty (default runs/{_folder_name(name)}-N; with --resume the latest of them)",
    )
    config = typer.Option(
        None,
        "--config",
        metavar="FILE",
        rich_help_panel=panel,
        show_default=False,
        help="TOML file, over the defaults and under the flags; its paths are relative to the current folder",
    )
    processes = typer.Option(
        None,
        "--nproc",
        metavar="N",
        min=1,
        rich_help_panel=panel,
        show_default=False,
        help="processes on this machine, one per GPU, that share each batch; torchrun does the same over many machines",
    )
    switches = {
        "resume": "go on with the run in --out; settings of the model, batch, size and seed must stay what they were",
        "dry_run": "check data and settings, show the plan, write nothing",
        "tensorboard": "write TensorBoard files beside metrics.jsonl",
    }
    return [
        option("out", str | None, folder),
        option("config", str | None, config),
        option("nproc", int | None, processes),
        *(
            option(key, Annotated[bool, switch("--" + key.replace("_", "-"), text, rich_help_panel=panel)], False)
            for key, text in switches.items()
        ),
    ]


def _train(name: str, cls: type[TaskModel], fields: Mapping[str, list[Field]], values: Mapping[str, Any]) -> None:
    from translate.device import keep_freed_memory
    from translate.distributed import World, world_from_environment
    from translate.modelfile.model import FILE_NAME
    from translate.training.journal import Journal
    from translate.training.run import plan, train

    console = current()
    with Journal(console, tensorboard=values["tensorboard"]) as journal:
        request = make_request(name, cls, fields, values)
        World(size=values["nproc"] or 1).places(request.run.batch, request.run.accumulate)
        if values["dry_run"]:
            _show_plan(plan(request, journal))
            return
        if (values["nproc"] or 1) > 1:
            launch(values["nproc"], request)
            return
        keep_freed_memory()
        folder = train(request, journal)
    if world_from_environment().leads:
        console.line(f"done: {folder}")
        console.record({"run": str(folder), "model": str(folder / FILE_NAME)})


def launch(processes: int, request: Request) -> None:
    """Run this command line on several processes of this machine, as torchrun would, and take over its exit code."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    words = iter(sys.argv[1:])
    # All processes must mean one folder, also where its name was left to us.
    rest = [w for w in words if not (w == "--nproc" and next(words)) and not w.startswith("--nproc=")]
    rest += [] if any(w == "--out" or w.startswith("--out=") for w in rest) else ["--out", str(request.out)]
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the first process says what went wrong
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    # Told to stop, a process ends its step and saves; torch's 30 seconds may be too few for both.
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "600")
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id="gantk",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.5,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "translate", *rest)
    except ChildFailedError as error:
        code = error.get_first_failure()[1].exitcode
        raise typer.Exit(code if code > 0 else 128 - code) from None
    except SignalException as error:  # sent to us, and by us to the processes, of which the first has said so
        raise typer.Exit(128 + error.sigval) from None


def make_request(
    name: str, cls: type[TaskModel], fields: Mapping[str, list[Field]], values: Mapping[str, Any]
) -> Request:
    """What to train, from flags over ``--config`` over the resumed run's settings over the recipe."""
    from translate import config as flags
    from translate.distributed import restarted
    from translate.settings import Run
    from translate.training.folder import CONFIG
    from translate.training.run import Request

    resume = values["resume"]
    out = Path(values["out"]) if values["out"] else default_folder(name, latest=resume or restarted())
    given = {table: flags.given_flags(fields[table], values) for table in fields}
    layers = []
    if resume:
        if not (out / CONFIG).is_file():
            raise UsageError(f"--resume: {out} is no run folder ({CONFIG} is missing)")
        layers.append(flags.read_config(out / CONFIG, fields, name))
    if values["config"]:
        layers.append(flags.read_config(Path(values["config"]), fields, name))
    merged = flags.merge([*layers, given])
    return Request(
        plugin=name,
        task=flags.build(cls, fields["model"], merged["model"], name),
        source=flags.build(cls.source, fields["data"], merged["data"], name),
        run=flags.build(Run, fields["run"], merged["run"], name),
        out=out,
        resume=resume,
    )


def default_folder(name: str, *, latest: bool) -> Path:
    """``runs/<model>-N``: the first N that is free after all others, or the ``latest`` there is."""
    stem = _folder_name(name)
    pattern = re.compile(re.escape(stem) + r"-([0-9]+)")
    taken = [pattern.fullmatch(path.name) for path in RUNS.iterdir()] if RUNS.is_dir() else []
    numbers = [int(match.group(1)) for match in taken if match]
    if latest and not numbers:
        raise UsageError(f"--resume: there is no run {RUNS / stem}-N here; expected --out with a run folder")
    return RUNS / f"{stem}-{max(numbers, default=0) + (0 if latest else 1)}"


def _folder_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name)


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
