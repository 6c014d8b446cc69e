"""``gantk train MODEL`` of one model: its flags and their checks, for which neither torch nor the plugin is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.markup import escape
from typer.core import TyperCommand

from translate import config
from translate.cli import derived
from translate.cli.description import Description, keep, kept
from translate.cli.train_options import OPTIONS, Options
from translate.plugins import Plugin
from translate.settings import Run


def command_for(name: str, plugin: Plugin) -> TyperCommand:
    """The model's command, as the plugin describes it; imports the plugin where that is not known."""
    before = kept(plugin)
    description = before or _described(plugin)
    tables = description.tables
    panels = {"data": "Data", "model": description.heading, "run": "Run"}
    parameters = [
        derived.typer_parameter(field, panels[table])
        for table in tables
        for field in tables[table]
        if field.shape != "config"
    ]
    parameters += [derived.typer_parameter(field, "Output") for field in OPTIONS]

    def action(**values: Any) -> int | None:
        options = config.build(Options, OPTIONS, derived.given_flags(OPTIONS, values), name)
        given = {table: derived.given_flags(tables[table], values) for table in tables}
        overlays = config.read_overlays(options.config, tables, name)
        if not options.resume:  # which has the settings of the run under these
            _check(name, description, [*overlays, given])
        from translate.cli.train_start import start

        return start(name, plugin, options, given, overlays, before)

    note = (
        f"\n\nPlugin {plugin.origin}. Keys of --config files: \\[data], \\[model] and \\[run], named as the flags. "
        "For a folder of pictures a .tar will do, a pattern of several ('x-{00..99}.tar'), or hf:NAME:SPLIT."
    )
    return derived.make_command(name, action, parameters, help=escape(description.title) + note)


def _described(plugin: Plugin) -> Description:
    from translate.cli.train_start import describe

    description = describe(plugin)
    keep(plugin, description)
    return description


def _check(name: str, description: Description, layers: Sequence[config.Layer]) -> None:
    """Raise ``UsageError`` for what the settings lack, and for settings of the run that exclude each other."""
    merged = config.merge(layers)
    for table, fields in description.tables.items():
        config.complete(fields, merged[table])
    config.build(Run, description.tables["run"], merged["run"], name)
