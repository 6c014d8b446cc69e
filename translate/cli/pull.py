"""``gantk pull``: a model from a hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from translate.cli import derived
from translate.cli.hub_options import HubOptions
from translate.console import current
from translate.errors import UsageError
from translate.fields import Spelling
from translate.files import make_folder


@dataclass(frozen=True, kw_only=True)
class Options(HubOptions):
    """Fetch a model from a hub into a folder, for gantk infer, sample and export.

    The model file is checked before the folder appears. Files of other kinds are not fetched.
    """

    repository: Annotated[str, "OWNER/NAME on the hub", Spelling(positional=True, metavar="REPO")]
    out: Annotated[Path | None, "folder to write; must not exist [NAME]", Spelling(short="-o")] = None
    revision: Annotated[str | None, "branch, tag or commit [the hub's main branch]"] = None

    @property
    def folder(self) -> Path:
        """Where the model goes."""
        return self.out or Path(self.repository.rpartition("/")[2])

    def __post_init__(self) -> None:
        if self.folder.exists() or self.folder.is_symlink():
            raise UsageError(f"--out {self.folder}: exists already; choose another name")


def pull(options: Options) -> None:
    """Fetch it, and say where it is."""
    from translate.export.remote import pull as pull_folder

    make_folder(options.folder.parent, f"--out {options.folder}")
    folder = pull_folder(
        options.repository,
        options.folder,
        endpoint=options.endpoint,
        token=options.secret(),
        revision=options.revision,
    )
    console = current()
    console.line(f"{options.repository}: {folder}")
    console.record({"repository": options.repository, "folder": str(folder)})


command = derived.command("pull", Options, pull)
