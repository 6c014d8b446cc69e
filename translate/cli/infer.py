"""``gantk infer``: a trained model applied to photos."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from translate.cli import derived
from translate.fields import Spelling
from translate.infer.folder import infer
from translate.infer.options import InferOptions
from translate.modelfile.model import load_published


@dataclass(frozen=True, kw_only=True)
class Options(InferOptions):
    """Apply a trained model to photos: same names, same tree, same sizes (times the model's scale).

    Outputs that exist are skipped, so that a stopped run can be resumed. Exit code 3: some photos failed, the others
    are done.
    """

    model: Annotated[Path, "run folder or model file", Spelling(positional=True, metavar="MODEL")]
    inputs: Annotated[tuple[Path, ...], "photos, or their folders", Spelling(positional=True, metavar="INPUT")]
    out: Annotated[Path, "folder for the results"]


def translate(options: Options) -> int:
    """Translate every photo; the exit code says whether some failed."""
    model = load_published(options.model)
    return infer(model, options.inputs, options.out, options).exit_code


command = derived.command("infer", Options, translate)
