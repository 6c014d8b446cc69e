"""``gantk infer``: a trained model applied to photos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from translate.cli.derived import DerivedCommand, make_command, option
from translate.console import current

HELP = """Apply a trained model to photos: same names, same tree, same sizes (times the model's scale).

Outputs that exist are skipped, so that a stopped run goes on. Exit code 3: some photos failed, the others are done."""


class InferCommand(DerivedCommand):
    """Takes its flags from ``translate.infer.folder.InferOptions``."""

    def build(self) -> TyperCommand:
        """The command with all its flags."""
        from translate import config as flags
        from translate.fields import fields_of
        from translate.infer.options import InferOptions

        fields = fields_of(InferOptions, "infer")

        def action(model: str, inputs: list[str], out: str, **values: Any) -> None:
            options = flags.build(InferOptions, fields, flags.given_flags(fields, values), "infer")
            _infer(Path(model), [Path(path) for path in inputs], Path(out), options)

        own = [
            option("model", Annotated[str, typer.Argument(help="run folder or model file", metavar="MODEL")]),
            option("inputs", Annotated[list[str], typer.Argument(help="photos, or their folders", metavar="INPUT")]),
            option("out", Annotated[str, typer.Option("--out", help="folder for the results", metavar="PATH")]),
        ]
        parameters = [flags.typer_parameter(field, "Options") for field in fields]
        return make_command("infer", action, [*own, *parameters], help=HELP)


def _infer(model: Path, inputs: list[Path], out: Path, options: Any) -> None:
    from translate.infer.folder import infer
    from translate.modelfile.model import load_published

    console = current()
    summary = infer(load_published(model), inputs, out, options, tell=console.line, record=console.record)
    if summary.exit_code:
        raise typer.Exit(summary.exit_code)
