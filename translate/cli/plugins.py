"""``gantk plugins``: which models are installed, what one of them is, a new one, and proof that it works."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from translate import plugins
from translate.cli.derived import switch
from translate.console import current
from translate.errors import UsageError

if TYPE_CHECKING:
    from translate.contract import TaskModel
    from translate.fields import Field
    from translate.plugins import Plugin
    from translate.testing import Example, Result

app = typer.Typer(help="List the installed models; show one, check one, begin a new one.")


@app.callback(invoke_without_command=True)
def listing(context: typer.Context) -> None:
    """List the installed models with title, distribution, version, entry point and state; imports none of them."""
    if context.invoked_subcommand is not None:
        return
    rows = [
        {
            "name": plugin.name,
            "title": plugins.peek(plugin).title,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "entry point": plugin.value,
            "state": plugins.state(plugin),
        }
        for plugin in plugins.installed()
    ]
    current().table(rows)


@app.command()
def show(name: Annotated[str, typer.Argument(help="a model, or distribution:model")]) -> None:
    """Show a model's flags, data source, phases, networks and the sizes of these."""
    plugin = plugins.find(name)
    cls = plugins.load_plugin(plugin)
    about = describe(plugin, cls)
    console = current()
    if console.json:
        console.record(about)
        return
    for line in _text(about):
        typer.echo(line)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="what gantk train will call the model: my_model")],
    folder: Annotated[str, typer.Option("--dir", metavar="PATH", help="folder to put the package into")] = ".",
    licence: Annotated[
        str | None, typer.Option(metavar="SPDX", help="licence of the package (default Apache-2.0)", show_default=False)
    ] = None,
) -> None:
    """Write a package with a small working model, its test, config and README; yours to change."""
    from translate.scaffold import LICENCE, new_package

    package = new_package(name, Path(folder), licence or LICENCE)
    console = current()
    console.line(f"{package}: install it with  pip install -e {package}")
    console.line(f"then: gantk train {name} --a DIR --b DIR,  gantk plugins check {name}")
    console.record({"package": str(package), "files": sorted(str(p) for p in package.rglob("*") if p.is_file())})


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="a model, or distribution:model")],
    slow: Annotated[bool, switch("--slow", "also compile every phase, and train on two processes")] = False,
    config: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="TOML file with other hyper-parameters; where it names data, the model is checked on these",
        ),
    ] = None,
) -> None:
    """Prove that a model keeps the contract: one line a rule; of a fault, what was expected, what was seen and where.

    The model trains a few steps on noise, or on the data of --config. Exit code 1: it breaks a rule.
    """
    from translate.testing import examine

    plugin = plugins.find(name)
    task, example = _subject(name, plugins.load_plugin(plugin), config)
    console = current()
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for result in examine(task, example, slow=slow):
        counts[result.state] += 1
        console.record(_result(result))
        if not console.json:
            typer.echo(str(result))
    console.line(f"{plugin.origin}: " + ", ".join(f"{count} {state}" for state, count in counts.items()))
    if counts["failed"]:
        raise typer.Exit(1)


def _subject(name: str, cls: type[TaskModel], config: str | None) -> tuple[TaskModel, Example | None]:
    """The model to check, and the data to check it on: None where noise will do."""
    from translate import config as flags
    from translate.contract import Loading
    from translate.data.loader import fixed_batch
    from translate.fields import fields_of
    from translate.settings import Run
    from translate.testing import Example
    from translate.testing.checks import BATCH

    fields = {
        "data": fields_of(cls.source, "data"),
        "model": fields_of(cls, "model"),
        "run": fields_of(Run, "run", cls.recipe),
    }
    given = flags.merge([flags.read_config(Path(config), fields, name)] if config else [])
    task = flags.build(cls, fields["model"], given["model"], name)
    if not given["data"]:
        return task, None
    run = flags.build(Run, fields["run"], given["run"], name)
    source = flags.build(cls.source, fields["data"], given["data"], name)
    dataset = source.open(Loading(size=run.size, tell=current().line))
    if len(dataset) < BATCH:
        raise UsageError(f"--config {config}: expected {BATCH} samples or more to check on, found {len(dataset)}")
    return task, Example(dataset.spec, lambda count: fixed_batch(dataset, count, run.seed))


def _result(result: Result) -> dict[str, Any]:
    problems = [{"expected": p.expected, "seen": p.seen, "where": p.where} for p in result.problems]
    values = {"check": result.check, "title": result.title, "state": result.state, "problems": problems}
    return values | ({"reason": result.reason} if result.reason else {})


def describe(plugin: Plugin, cls: type[TaskModel]) -> dict[str, Any]:
    """What is known of a model with its default hyper-parameters, as plain values."""
    from translate.fields import fields_of
    from translate.testing import example_for

    about: dict[str, Any] = {
        "name": plugin.name,
        "title": (inspect.getdoc(cls) or plugin.summary).partition("\n")[0],
        "distribution": plugin.distribution,
        "version": plugin.version,
        "entry_point": plugin.value,
        "api": cls.api,
        "source": cls.source.__name__,
        "averaged": list(cls.averaged),
        "flags": {
            "data": [_flag(field) for field in fields_of(cls.source, "data")],
            "model": [_flag(field) for field in fields_of(cls, "model")],
        },
    }
    try:
        task = cls()
    except TypeError:  # a model may have fields without a default
        return about
    about["phases"] = {
        phase.name: {"updates": list(phase.updates), "every": phase.every, "repeat": phase.repeat}
        for phase in task.phases(example_for(task).data)
    }
    return about


def _flag(field: Field) -> dict[str, Any]:
    from translate.fields import REQUIRED, plain

    return {
        "flag": " / ".join(field.flags) or f"(config key {field.name})",
        "expected": field.expected,
        "default": None if field.default is REQUIRED else plain(field.default),
        "help": field.help,
    }


def _text(about: dict[str, Any]) -> Iterator[str]:
    for key, value in about.items():
        if key not in ("flags", "phases"):
            yield f"{key.replace('_', ' '):12}  {' '.join(value) if isinstance(value, list) else value}"
    for name, phase in about.get("phases", {}).items():
        often = f"every {phase['every']}, {phase['repeat']} x" if phase["every"] * phase["repeat"] > 1 else ""
        yield f"{'phase':12}  {name}: updates {' '.join(phase['updates'])} {often}".rstrip()
    for table, flags in about["flags"].items():
        yield f"[{table}]"
        for flag in flags:
            default = "required" if flag["default"] is None else f"default {flag['default']}"
            yield f"  {flag['flag']:28}  {flag['help']} ({default}; {flag['expected']})"
