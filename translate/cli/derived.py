"""Commands whose flags come from dataclasses that are imported only when the command is chosen."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import typer
from typer.core import TyperCommand
from typer.main import get_command


class DerivedCommand(TyperCommand):
    """Stands in lists and completions for a command that is built when it is used."""

    def build(self) -> TyperCommand:
        """The command itself, with all its flags."""
        raise NotImplementedError

    def make_context(self, *arguments: Any, **settings: Any) -> Any:
        """The context of the built command, which parses the arguments and runs in this one's place."""
        return self.build().make_context(*arguments, **settings)


def make_command(
    name: str, action: Callable[..., None], parameters: Sequence[inspect.Parameter], *, help: str
) -> TyperCommand:
    """A command that calls ``action`` with the values of ``parameters`` by name."""

    def call(**values: Any) -> None:
        action(**values)

    call.__signature__ = inspect.Signature(list(parameters))  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
    app.command(name, help=help)(call)
    command = get_command(app)
    assert isinstance(command, TyperCommand)
    return command


def switch(flag: str, text: str, **settings: Any) -> Any:
    """A flag without a value."""
    return typer.Option(flag, help=text, metavar="", show_default=False, **settings)


def option(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    """A parameter written by hand, beside those made from fields; required without a default."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
