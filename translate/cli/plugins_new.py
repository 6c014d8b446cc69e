"""``gantk plugins new``: a package to begin a model of one's own with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from translate.cli import derived
from translate.console import current
from translate.fields import Spelling
from translate.scaffold import LICENCE, new_package


@dataclass(frozen=True, kw_only=True)
class Options:
    """Write a package with a small working model, its test, config and README; yours to change."""

    name: Annotated[str, "what gantk train will call the model: my_model", Spelling(positional=True, metavar="NAME")]
    folder: Annotated[Path, "folder to put the package into", Spelling(flag="--dir")] = Path()
    licence: Annotated[str, "licence of the package", Spelling(metavar="SPDX")] = LICENCE


def new(options: Options) -> None:
    """Write the package, and show what to do with it."""
    package = new_package(options.name, options.folder, options.licence)
    console = current()
    console.line(f"{package}: install it with  pip install -e {package}")
    console.line(f"then: gantk train {options.name} --a DIR --b DIR,  gantk plugins check {options.name}")
    console.record({"package": str(package), "files": sorted(str(p) for p in package.rglob("*") if p.is_file())})


command = derived.command("new", Options, new)
