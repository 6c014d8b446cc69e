"""``gantk watch``: a run while it trains, or a model to try, as a page on this machine."""

from __future__ import annotations

import webbrowser
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Le

from translate.cli import derived
from translate.console import current
from translate.errors import INTERRUPTED, UsageError
from translate.fields import Spelling
from translate.modelfile.card import read_card
from translate.modelfile.header import FILE_NAME
from translate.training.layout import CONFIG

if TYPE_CHECKING:
    from translate.report.trial import Trial


@dataclass(frozen=True, kw_only=True)
class Options:
    """Show a run while it trains, or a model to try, as a page in a browser on this machine.

    Of a run that trains: its report, with each new preview, until the run ends. Of any other run, and of a model file:
    a page that translates the photos which are dropped on it, or draws pictures. The server listens on this machine
    alone, at an address that nobody can guess, and sends nothing anywhere. Ctrl-C ends it.
    """

    path: Annotated[Path, "run folder or model file", Spelling(positional=True, metavar="RUN")]
    port: Annotated[int, "port of the page; 0: one that is free", Ge(0), Le(65535)] = 0
    open: Annotated[bool, "open the page in the browser"] = False
    device: Annotated[str, "for a model: auto, cpu, cuda, cuda:N or mps"] = "auto"


def watch(options: Options) -> int | None:
    """Serve the page until the run ends, or the user ends it."""
    path, console = options.path, current()
    if not (path / CONFIG).is_file():
        read_card(path)
    from translate.report.folder import trains
    from translate.report.page import REPORT
    from translate.report.server import Server
    from translate.report.watch import Watch

    run = Watch(path) if trains(path) else None
    server = Server(run or _trial(options), options.port)
    with server.serving():
        console.line(f"{path}: {server.address}")
        console.record({"address": server.address})
        if options.open and not webbrowser.open(server.address):
            console.warning("--open: no browser was found; open the address above")
        try:
            if run is None:
                Event().wait()
            else:
                run.until_it_ends()
        except KeyboardInterrupt:
            return INTERRUPTED
    console.line(f"{path}: the run has ended; its report is {path / REPORT}")
    return None


def _trial(options: Options) -> Trial:
    path = options.path
    if (path / CONFIG).is_file() and not (path / FILE_NAME).is_file():
        raise UsageError(f"{path}: no run trains there, and it has no model yet; gantk report {path} shows its records")
    from translate.model import load
    from translate.report.trial import Trial

    return Trial(load(path).to(options.device))


command = derived.command("watch", Options, watch)
