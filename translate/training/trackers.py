"""Trackers: what else follows a run. A class registered under the entry-point group ``gantk.trackers`` is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from translate import plugins
from translate.errors import UsageError, did_you_mean, named_line

GROUP = "gantk.trackers"


class Tracker(Protocol):
    """Follows one run. The class takes no arguments; what it raises there ends the run before it begins."""

    def begin(self, folder: Path, settings: Mapping[str, Any], start: int) -> None:
        """A run in ``folder`` begins or is resumed after ``start`` steps; ``settings``: its config.toml."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Losses and other numbers after ``step`` steps, by name; some may not be finite."""

    def picture(self, step: int, file: Path) -> None:
        """A preview, a PNG file."""

    def close(self) -> None:
        """The run has ended."""


def load_trackers(names: Sequence[str]) -> dict[str, Tracker]:
    """The trackers by name. Raises ``UsageError`` for a name that no installed one has, and where one is not usable."""
    known = [plugin for plugin in plugins.installed(GROUP) if plugins.permitted(plugin)]
    trackers: dict[str, Tracker] = {}
    for name in dict.fromkeys(names):
        found = [plugin for plugin in known if name in (plugin.name, plugin.qualified)]
        if not found:
            choices = [plugin.name for plugin in known]
            near = did_you_mean(name, choices)
            raise UsageError(f"--tracker {name}: expected one of {', '.join(choices)}{near}")
        try:
            trackers[name] = plugins.import_plugin(found[0])()
        except UsageError:
            raise
        except Exception as error:
            raise UsageError(f"--tracker {name}: {found[0].origin} cannot be used: {named_line(error)}") from error
    return trackers
