"""``gantk evaluate``: figures of a trained model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from translate.cli import derived
from translate.console import current
from translate.evaluation.options import EvaluateOptions
from translate.evaluation.protocols import load, names
from translate.evaluation.result import write
from translate.fields import Spelling
from translate.files import make_folder
from translate.modelfile.card import read_card

LIST = "list"


@dataclass(frozen=True, kw_only=True)
class Options(EvaluateOptions):
    """Judge a trained model by figures with 95 % intervals.

    --inputs and --against for translations, --a and --b or --ab for pairs, --hr for super-resolution, --against alone
    for samples; --pictures and --against for pictures of any origin, without a model.

    The result is kept in evaluation.json beside the model. Nothing is downloaded.
    """

    model: Annotated[Path | None, "run folder or model file", Spelling(positional=True, metavar="MODEL")] = None
    out: Annotated[Path | None, "file for the result, JSON", Spelling(metavar="FILE")] = None


def judge(options: Options) -> None:
    """Compute the figures and show them."""
    console = current()
    if options.protocol == LIST:
        protocols = [(name, load(name)) for name in names()]
        console.table([{"protocol": name, "for": p.kind, "split": p.split, "title": p.title} for name, p in protocols])
        return
    options.checked(model=options.model is not None)
    if options.model is not None:
        read_card(options.model)
    if options.out is not None:
        make_folder(options.out.parent, f"--out {options.out}")
    from translate.evaluation.evaluate import evaluate

    result = evaluate(options.model, options)
    if options.out is not None:
        write(options.out, [result])
    if console.json:
        console.record(result.to_json())
        return
    console.table(result.rows())
    for note in result.notes:
        console.line(f"note: {note}")
    console.line(f"protocol: {options.protocol or 'none; compare it only with results of the same setting'}")


command = derived.command("evaluate", Options, judge)
