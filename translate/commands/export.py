"""``gantk export``: a trained model as one file that runs anywhere."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from translate.console import current
from translate.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from translate.published import Card


def export(
    model: Annotated[str, typer.Argument(help="run folder or model file", metavar="MODEL")],
    out: Annotated[str, typer.Option("-o", "--out", help="file to write; must not exist", metavar="FILE")],
    weights: Annotated[
        Literal["published", "raw"] | None,
        typer.Option(help="published: what previews and infer use; raw: without the moving average, from a run folder"),
    ] = None,
) -> None:
    """Write one self-describing safetensors file; the same model always gives the same bytes."""
    target = Path(out)
    if target.exists():
        raise UsageError(f"-o {target}: exists already; choose another name")

    from translate.published import load_published, read_card, read_tensors, write_card

    load_published(Path(model))  # refuses what could not be run
    card, tensors = read_card(Path(model)), read_tensors(Path(model))
    if weights == "raw":
        card, tensors = _raw(Path(model), card, tensors)
    write_card(target, card, tensors)
    console = current()
    console.line(f"{target}: {card.plugin}, {card.weights} weights after step {card.step}")
    console.record({"file": str(target), "plugin": card.plugin, "weights": card.weights, "step": card.step})


def _raw(folder: Path, card: Card, tensors: dict[str, Tensor]) -> tuple[Card, dict[str, Tensor]]:
    """The weights as the optimizers left them, from the run's latest checkpoint."""
    from safetensors import safe_open

    from translate.checkpoint import list_checkpoints
    from translate.training import CHECKPOINTS

    found = list_checkpoints(folder / CHECKPOINTS)
    if not found:
        raise UsageError(f"--weights raw: {folder} has no checkpoint; expected a run folder")
    with safe_open(found[-1], framework="pt") as file:
        present = set(file.keys())
        # Constant networks are not in a checkpoint, and have no average.
        raw = {key: file.get_tensor(f"nets/{key}") if f"nets/{key}" in present else t for key, t in tensors.items()}
    step = int(found[-1].stem.removeprefix("step-"))
    return dataclasses.replace(card, weights="raw", step=step), raw
