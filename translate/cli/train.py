"""``gantk train MODEL``: every installed model with the flags of its source, its hyper-parameters and the run."""

from __future__ import annotations

from typing import Any

from rich.markup import escape

from translate import plugins
from translate.cli import derived
from translate.cli.train_model import command_for


class Train(derived.Group):
    """The installed models as commands; listing them reads metadata and source text, and imports none."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names that select a model."""
        return list(plugins.selectable())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The model's command, built when it is used. Raises ``UsageError`` for a name that no plugin has."""
        if cmd_name.startswith("-"):
            return None
        plugin = plugins.find(cmd_name)
        source = plugins.peek(plugin)
        text = f"(broken: {source.problem})" if source.problem else source.title
        return derived.LazyCommand(cmd_name, lambda: command_for(cmd_name, plugin), help=escape(text))


command = derived.make_group(
    "train",
    Train,
    help="Train a model on your own pictures; gantk train MODEL --help shows its flags.",
    subcommand_metavar="MODEL [OPTIONS]",
)
