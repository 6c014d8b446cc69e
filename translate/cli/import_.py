"""``gantk import``: weights of other codes as a model file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from translate.cli import derived
from translate.console import current
from translate.errors import UsageError, shortened
from translate.fields import Spelling


@dataclass(frozen=True, kw_only=True)
class Options:
    """Turn a generator from another code into a model file for infer, sample and export.

    Which public codes are known depends on the importers that are installed; a file of another one is refused with
    their list. Nothing in the file is run.
    """

    file: Annotated[Path, ".pth, .pt, .ckpt, .tar, .th or .safetensors file", Spelling(positional=True, metavar="FILE")]
    out: Annotated[Path, "model file to write; must not exist", Spelling(short="-o", metavar="FILE")]
    kind: Annotated[
        str | None,
        "the model to import it as; guessed from its tensors otherwise",
        Spelling(flag="--as", metavar="MODEL"),
    ] = None

    key: Annotated[
        str | None,
        "where in the file it is, such as state_dict.generator; of several generators this chooses one",
    ] = None

    def __post_init__(self) -> None:
        if self.out.exists() or self.out.is_symlink():
            raise UsageError(f"--out {self.out}: exists already; choose another name")


def import_(options: Options) -> None:
    """Convert the file, and show how it was read."""
    from translate.importing.convert import describe, import_weights

    imported = import_weights(options.file, options.out, options.kind, options.key)
    console, about = current(), describe(imported)
    sizes = ", ".join(f"{key} {shortened(value)}" for key, value in imported.layout.model.items())
    console.line(f"{options.out}: {imported.family.title}, as {imported.layout.plugin} ({sizes})")
    if imported.key:
        console.line(f"note: read from {imported.key}")
    for note in imported.layout.notes:
        console.line(f"note: {note}")
    console.record({"file": str(options.out), **about})


command = derived.command("import", Options, import_)
