"""``gantk push``: a model to a hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from translate.cli import derived
from translate.cli.hub_options import HubOptions
from translate.console import current
from translate.fields import Spelling


@dataclass(frozen=True, kw_only=True)
class Options(HubOptions):
    """Send a model to a hub: a folder that gantk export --to hub wrote, as a new commit of a repository.

    The weights, the configuration, the model card and its preview are sent, and nothing else.
    """

    folder: Annotated[Path, "folder that gantk export --to hub wrote", Spelling(positional=True, metavar="FOLDER")]
    repository: Annotated[str, "OWNER/NAME on the hub; made if missing", Spelling(positional=True, metavar="REPO")]
    private: Annotated[bool, "make a new repository private"] = False


def push(options: Options) -> None:
    """Send it, and say where it is."""
    from translate.export.remote import push as push_folder

    address = push_folder(
        options.folder,
        options.repository,
        endpoint=options.endpoint,
        token=options.secret(),
        private=options.private,
    )
    console = current()
    console.line(f"{options.folder}: {address}")
    console.record({"folder": str(options.folder), "repository": options.repository, "commit": address})


command = derived.command("push", Options, push)
