"""The command line: what every command shares, and the list of commands."""

from __future__ import annotations

import os
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Annotated, Any, ClassVar

import typer
from typer.core import TyperGroup

from translate import console as consoles
from translate.cli import derived
from translate.console import Console
from translate.errors import INTERRUPTED, GantkError, UsageError, named_line
from translate.fields import fields_of

FAILED = 1
EPILOG = (
    "--quiet, --json, --debug and --no-plugins may stand anywhere on the line. Exit codes: 0 done, 1 failed, 2 wrong "
    "usage, 3 some inputs failed, 4 training diverged or dead, 129 terminal closed, 130 Ctrl-C, 143 SIGTERM."
)


class Root(derived.Group):
    """The commands, in the order in which one needs them."""

    modules: ClassVar = {
        "train": ("train", "Train a model on your own pictures; gantk train MODEL --help shows its flags."),
        "infer": ("infer", "Apply a trained model to photos: same names, same tree, same sizes (times the scale)."),
        "sample": ("sample", "Draw pictures from a trained model into a grid, into a folder, or both."),
        "detect": ("detect", "Say whether pictures carry the invisible mark of a key."),
        "evaluate": ("evaluate", "Judge a trained model by figures with intervals."),
        "compare": ("compare", "Compare the figures of several runs, and mark differences that may be noise."),
        "health": ("health", "Show what went wrong in a run, from its records."),
        "report": ("report", "Write a page of one or several runs: pictures over time, curves, data, settings."),
        "watch": ("watch", "Show a run while it trains, or a model to try, as a page on this machine."),
        "import": ("import_", "Turn a generator from another code into a model file for infer, sample and export."),
        "export": ("export", "Write a model in a form that travels: safetensors, ONNX, spandrel or a hub's folder."),
        "push": ("push", "Send a model to a hub."),
        "pull": ("pull", "Fetch a model from a hub."),
        "inspect": ("inspect", "Show what a model file holds, from its header alone."),
        "plugins": ("plugins", "List the installed models; show one, check one, start a new one."),
        "env": ("env", "Show versions, devices, CPU capabilities and plugins, for a bug report."),
    }


@dataclass(frozen=True, kw_only=True)
class Shared:
    """The flags that every command takes, wherever they stand."""

    quiet: Annotated[bool, "no text but warnings and errors"] = False
    json: Annotated[bool, "records for programs on stdout, a JSON object a line"] = False
    debug: Annotated[bool, "tracebacks, and what plugins print at import"] = False
    no_plugins: Annotated[bool, "load no third-party plugin"] = False
    version: Annotated[bool, "show the version and exit"] = False


SHARED = frozenset(flag for field in fields_of(Shared, "gantk") for flag in field.flags)


def gantk() -> TyperGroup:
    """The whole command line."""
    title = "Train, run and publish image-to-image GANs."
    settings: dict[str, Any] = {"epilog": EPILOG, "add_completion": True}
    return derived.make_group("gantk", Root, fields=fields_of(Shared, "gantk"), help=title, **settings)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code. No exception leaves it."""
    shared, rest = _shared_flags(arguments)
    console = Console(quiet="--quiet" in shared, json="--json" in shared, debug="--debug" in shared)
    with consoles.using(console):
        if "--no-plugins" in shared:
            os.environ["GANTK_PLUGINS"] = "none"  # the environment, so that processes we start keep to it
        try:
            for flag in {flag for flag in shared if shared.count(flag) > 1}:
                raise UsageError(f"{flag}: given more than once; expected once")
            if "--version" in shared:
                console.output(f"gantk {version('gantk')}")
                return 0
            code = _invoke(rest)
            consoles.finish()
            return code
        except GantkError as error:
            code, message = error.exit_code, str(error)
            _trace(console)
        except KeyboardInterrupt:
            code, message = INTERRUPTED, "interrupted"
        except OSError as error:
            code, message = FAILED, str(error)
            _trace(console)
        except (Exception, SystemExit) as error:  # a plugin may even call sys.exit()
            code, message = FAILED, f"{named_line(error)} (--debug shows where)"
            _trace(console)
        # Of several processes the first one of each machine speaks for all, unless another failed on its own.
        if message and (code == FAILED or os.environ.get("LOCAL_RANK", "0") == "0"):
            console.error(message, code)
        return code


def _invoke(arguments: list[str]) -> int:
    try:
        result: Any = gantk().main(arguments, prog_name="gantk", standalone_mode=False)
    except typer.TyperException as error:  # what a command's own parser reports in its own words
        raise UsageError(" ".join(error.format_message().split())) from None
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # whoever read the help has left
            return 0
        raise
    return result if isinstance(result, int) else 0


def _shared_flags(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The flags that every command takes, wherever they stand before ``--``, and the rest."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    shared = [word for word in arguments[:end] if word in SHARED]
    return shared, [*(word for word in arguments[:end] if word not in SHARED), *arguments[end:]]


def _trace(console: Console) -> None:
    if console.debug:
        console.detail(traceback.format_exc())
