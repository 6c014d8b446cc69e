"""``gantk plugins show``: what one model is."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from translate import plugins
from translate.cli import derived
from translate.console import current
from translate.errors import UsageError
from translate.fields import REQUIRED, Field, Spelling, fields_of, plain
from translate.plugins import Plugin

if TYPE_CHECKING:
    from translate.contract import TaskModel


@dataclass(frozen=True, kw_only=True)
class Options:
    """Show a model's flags, data source, phases, networks and the sizes of these."""

    name: Annotated[str, "a model, or distribution:model", Spelling(positional=True, metavar="NAME")]


def show(options: Options) -> None:
    """Show what `describe` finds."""
    plugin = plugins.find(options.name)
    cls = plugins.load_plugin(plugin)
    with plugins.blamed(plugin):
        about = describe(plugin, cls)
    console = current()
    if console.json:
        console.record(about)
        return
    for line in _text(about):
        console.output(line)


def describe(plugin: Plugin, cls: type[TaskModel]) -> dict[str, Any]:
    """What is known of a model with its default hyper-parameters, as plain values."""
    from translate.contract import parameter_count
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
    try:
        data = example_for(task).data
    except UsageError as error:  # the source is a stranger's: what it would give is not known
        return about | {"networks": f"not known ({error})"}
    about["phases"] = {
        phase.name: {"updates": list(phase.updates), "every": phase.every, "repeat": phase.repeat}
        for phase in task.phases(data)
    }
    about["networks"] = {role: parameter_count(build()) for role, build in task.networks(data).items()}
    return about


def _flag(field: Field) -> dict[str, Any]:
    return {
        "flag": " / ".join(field.flags) or f"(config key {field.name})",
        "expected": field.expected,
        "default": None if field.default is REQUIRED else plain(field.default),
        "help": field.help,
    }


def _text(about: dict[str, Any]) -> Iterator[str]:
    for key, value in about.items():
        if key not in ("flags", "phases", "networks"):
            yield f"{key.replace('_', ' '):12}  {' '.join(value) if isinstance(value, list) else value}"
    for name, phase in about.get("phases", {}).items():
        often = f"every {phase['every']}, {phase['repeat']} x" if phase["every"] * phase["repeat"] > 1 else ""
        yield f"{'phase':12}  {name}: updates {' '.join(phase['updates'])} {often}".rstrip()
    networks = about.get("networks", {})
    if isinstance(networks, str):
        yield f"{'networks':12}  {networks}"
    else:
        yield from (f"{'network':12}  {role}: {count:,} parameters" for role, count in networks.items())
    for table, flags in about["flags"].items():
        yield f"[{table}]"
        for flag in flags:
            default = "required" if flag["default"] is None else f"default {flag['default']}"
            yield f"  {flag['flag']:28}  {flag['help']} ({default}; {flag['expected']})"


command = derived.command("show", Options, show)
