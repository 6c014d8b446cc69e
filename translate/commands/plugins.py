"""``gantk plugins``: which models are installed, where they come from, and what one of them is."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from translate import plugins
from translate.console import current

if TYPE_CHECKING:
    from translate.fields import Field
    from translate.plugins import Plugin
    from translate.task import TaskModel

app = typer.Typer(help="List the installed models; show one.")


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


def describe(plugin: Plugin, cls: type[TaskModel]) -> dict[str, Any]:
    """What is known of a model with its default hyper-parameters, as plain values."""
    from translate.fields import fields_of

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
        for phase in task.phases()
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
