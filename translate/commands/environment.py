"""``gantk env``."""

from __future__ import annotations

from translate.console import current


def env() -> None:
    """Show versions, devices, CPU capabilities and plugins, for a bug report; asks no network."""
    from translate.environment import describe

    console = current()
    about = describe()
    if console.json:
        console.record(about)
        return
    console.table([{"what": key, "value": value} for key, value in about.items()])
