"""``gantk plugins``: which models are installed; its commands show one, begin a new one, and check one."""

from __future__ import annotations

from typing import ClassVar

from translate import plugins
from translate.cli import derived
from translate.console import current


class Plugins(derived.Group):
    """The commands that are imported when they are chosen; without one the models are listed."""

    modules: ClassVar = {
        "show": ("plugins_show", "Show a model's flags, data source, phases, networks and the sizes of these."),
        "new": ("plugins_new", "Write a package with a small working model, its test, config and README."),
        "check": ("plugins_check", "Prove that a model keeps the contract: one line a rule."),
    }


def list_plugins() -> None:
    """List the installed models with title, distribution, version, entry point and state; imports none of them."""
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


command = derived.make_group(
    "plugins", Plugins, list_plugins, help="List the installed models; show one, check one, begin a new one."
)
