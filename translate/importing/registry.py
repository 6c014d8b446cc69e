"""The families that `gantk import` supports: whatever is installed under the entry points ``gantk.importers``."""

from __future__ import annotations

from translate import plugins
from translate.importing.family import Family

GROUP = "gantk.importers"


def families() -> list[Family]:
    """Every family that may load, by name. Raises ``PluginError`` for an entry point that is none."""
    found = []
    for plugin in filter(plugins.permitted, plugins.installed(GROUP)):
        family = plugins.import_plugin(plugin)
        if not isinstance(family, Family):
            raise plugins.PluginError(f"importer {plugin.origin}: expected a Family, found {type(family).__name__}")
        found.append(family)
    return found


def families_for(plugin: str | None) -> list[Family]:
    """The families that a model can express; all of them for None."""
    return [family for family in families() if plugin is None or plugin in family.plugins]
