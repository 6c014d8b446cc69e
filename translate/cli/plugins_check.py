"""``gantk plugins check``: proof that a model keeps the contract."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from translate import plugins
from translate.cli import derived
from translate.fields import Spelling


@dataclass(frozen=True, kw_only=True)
class Options:
    """Prove that a model keeps the contract: one line a rule; of a fault, what was expected, what was found and where.

    The model trains a few steps on noise, or on the data of --config. Exit code 1: it breaks a rule.
    """

    name: Annotated[str, "a model, or distribution:model", Spelling(positional=True, metavar="NAME")]
    slow: Annotated[bool, "also compile every phase, and train on two processes"] = False
    config: Annotated[
        Path | None,
        "TOML file with other hyper-parameters; where it names data, the model is checked on these",
        Spelling(metavar="FILE"),
    ] = None


def check(options: Options) -> int:
    """Show each rule's result as it comes."""
    plugin = plugins.find(options.name)
    from translate.cli.plugins_prove import prove

    return prove(plugin, options)


command = derived.command("check", Options, check)
