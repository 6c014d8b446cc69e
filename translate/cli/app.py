"""The command line: what every command shares, and the commands."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer._click.exceptions import ClickException
from typer.core import TyperGroup
from typer.main import get_command

from translate import console as consoles
from translate.cli import env as environment
from translate.cli import export, import_, infer, inspect, plugins, sample, train
from translate.cli.derived import switch
from translate.console import Console
from translate.errors import GantkError, named_line

EVERYWHERE = ("--quiet", "--json", "--debug", "--no-plugins")
USAGE = 2
INTERRUPTED = 130

ORDER = ("train", "infer", "sample", "import", "export", "inspect", "plugins", "env")


class Root(TyperGroup):
    """The commands in the order in which one needs them; Typer would put groups last."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the commands."""
        known = super().list_commands(ctx)
        return sorted(known, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))


app = typer.Typer(
    name="gantk",
    cls=Root,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    epilog="--quiet, --json, --debug and --no-plugins may stand anywhere on the line. "
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 some inputs failed, 4 training diverged, 129 terminal closed, "
    "130 Ctrl-C, 143 SIGTERM.",
)


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"gantk {version('gantk')}")
        raise typer.Exit


@app.callback()
def root(
    quiet: Annotated[bool, switch("--quiet", "no text but warnings and errors")] = False,
    json: Annotated[bool, switch("--json", "records for programs on stdout, a JSON object a line")] = False,
    debug: Annotated[bool, switch("--debug", "tracebacks, and what plugins say at import")] = False,
    no_plugins: Annotated[bool, switch("--no-plugins", "load no third-party plugin")] = False,
    version: Annotated[
        bool, switch("--version", "show the version and exit", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Train, run and publish image-to-image GANs."""
    # `run` has acted on the flags before the commands were parsed.


app.add_typer(
    typer.Typer(cls=train.TrainGroup, no_args_is_help=True, subcommand_metavar="MODEL [OPTIONS]"),
    name="train",
    help="Train a model on your own pictures; gantk train MODEL --help shows its flags.",
)


@app.command("infer", cls=infer.InferCommand, help=infer.HELP)
def _infer() -> None:
    """Stands for the command that `infer.InferCommand` builds."""


app.command("sample")(sample.sample)
app.command("import")(import_.import_)
app.command("export")(export.export)
app.command("inspect")(inspect.inspect)
app.add_typer(plugins.app, name="plugins")
app.command("env")(environment.env)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code. No exception leaves it."""
    shared, rest = _shared_flags(arguments)
    console = Console(quiet="--quiet" in shared, json="--json" in shared, debug="--debug" in shared)
    with consoles.using(console), _logging_to(console):
        if "--no-plugins" in shared:
            os.environ["GANTK_PLUGINS"] = "none"  # the environment, so that processes we start keep to it
        try:
            return _invoke([*shared, *rest])
        except GantkError as error:
            code, message = error.exit_code, str(error)
            _trace(console)
        except KeyboardInterrupt:
            code, message = INTERRUPTED, "interrupted"
        except ClickException as error:
            code, message = error.exit_code, _usage_message(error)
        except OSError as error:
            code, message = 1, str(error)
            _trace(console)
        except Exception as error:
            code, message = 1, f"{named_line(error)} (--debug shows where)"
            _trace(console)
        # Of several processes the first one of each machine speaks for all, unless another failed on its own.
        if message and (code == 1 or os.environ.get("LOCAL_RANK", "0") == "0"):
            console.error(message, code)
        return code


def _invoke(arguments: list[str]) -> int:
    result: Any = get_command(app).main(arguments, prog_name="gantk", standalone_mode=False)
    return result if isinstance(result, int) else 0


def _shared_flags(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The flags that every command takes, wherever they stand before ``--``, and the rest."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    shared = [word for word in arguments[:end] if word in EVERYWHERE]
    return shared, [*(word for word in arguments[:end] if word not in EVERYWHERE), *arguments[end:]]


def _usage_message(error: ClickException) -> str:
    """One line in our own form. Empty where the help has been shown instead."""
    near = getattr(error, "possibilities", None)
    message = getattr(error, "message", "") if near else error.format_message()
    if near:
        message = f"{message} (did you mean {near[0]}?)"
    context = getattr(error, "ctx", None)
    if not message or context is None:
        return " ".join(message.split())
    return f"{' '.join(message.split()).rstrip('.')} (see {_command_path(context)} --help)"


def _command_path(context: Any) -> str:
    names = []
    while context is not None:
        names.append(context.info_name)
        context = context.parent
    return " ".join(filter(None, reversed(names)))


def _trace(console: Console) -> None:
    if console.debug:
        traceback.print_exc(file=sys.stderr)


@contextmanager
def _logging_to(console: Console) -> Iterator[None]:
    """Our own loggers' warnings as lines on stderr, and everything with ``--debug``."""

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.WARNING:
                console.warning(record.getMessage())
            else:
                console.line(record.getMessage())

    ours, handler = logging.getLogger("translate"), Lines()
    level, propagate = ours.level, ours.propagate
    ours.addHandler(handler)
    ours.setLevel(logging.DEBUG if console.debug else logging.WARNING)
    ours.propagate = False
    try:
        yield
    finally:
        ours.removeHandler(handler)
        ours.setLevel(level)
        ours.propagate = propagate
