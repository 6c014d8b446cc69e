"""``gantk export``: a trained model as a file that travels, for gantk or for other tools."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from translate.console import current
from translate.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from translate.modelfile.model import Card

HUB = "Model card (--to hub)"


def export(
    model: Annotated[str, typer.Argument(help="run folder or model file", metavar="MODEL")],
    out: Annotated[str, typer.Option("-o", "--out", help="file or folder to write; must not exist", metavar="PATH")],
    to: Annotated[
        Literal["safetensors", "onnx", "spandrel", "hub"],
        typer.Option(
            help="our own file, ONNX, names that other upscalers detect (esrgan alone), or a folder for a model hub"
        ),
    ] = "safetensors",
    direction: Annotated[
        str | None, typer.Option(help="what to export to onnx or spandrel, if there are several", metavar="TEXT")
    ] = None,
    weights: Annotated[
        Literal["published", "raw"] | None,
        typer.Option(help="published: what previews and infer use; raw: without the moving average, from a run folder"),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="largest difference of an onnx or spandrel file [0.001, on -1 to 1]", metavar="NUMBER"),
    ] = None,
    license: Annotated[
        str | None,
        typer.Option(help="licence, by the hub's name for it, such as mit", metavar="TEXT", rich_help_panel=HUB),
    ] = None,
    data_note: Annotated[
        str | None, typer.Option(help="what it was trained on", metavar="TEXT", rich_help_panel=HUB)
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="a measured value, repeatable", metavar="NAME=NUMBER", rich_help_panel=HUB)
    ] = None,
    metric_data: Annotated[
        str | None, typer.Option(help="what the metrics were measured on", metavar="TEXT", rich_help_panel=HUB)
    ] = None,
) -> None:
    """Write a model in a form that travels; the same model always gives the same safetensors bytes.

    ONNX and spandrel files are run by these tools on sizes they have not seen, and kept only if the results agree.
    """
    target = Path(out)
    if target.exists() or target.is_symlink():
        raise UsageError(f"--out {target}: exists already; choose another name")
    checked = to in ("onnx", "spandrel")
    for flag, value in (("--direction", direction), ("--tolerance", tolerance)):
        if value is not None and not checked:
            raise UsageError(f"{flag}: expected --to onnx or --to spandrel, not {to}")
    cards = (("--license", license), ("--data-note", data_note), ("--metric", metric), ("--metric-data", metric_data))
    for flag, text in cards:
        if text and to != "hub":
            raise UsageError(f"{flag}: expected --to hub, not {to}")
    if bool(metric) != bool(metric_data):
        given, other = ("--metric", "--metric-data") if metric else ("--metric-data", "--metric")
        raise UsageError(f"{given}: expected {other} as well; a value says little without what it was measured on")
    if checked and weights == "raw":
        raise UsageError(f"--weights raw --to {to}: export to safetensors first, and that file to {to}")
    metrics = _metrics(metric or [])

    from translate.files import make_folder
    from translate.modelfile.model import load_published, read_card, read_tensors, write_card

    published = load_published(Path(model))  # refuses what could not be run
    make_folder(target.parent, f"--out {target}")
    console = current()
    card = published.card
    record: dict[str, object] = {"file": str(target), "to": to}
    said = ""
    if checked:
        from translate.export import TOLERANCE, to_onnx, to_spandrel

        latent = direction in {d.name for d in published.directions if d.latent} or all(
            d.latent for d in published.directions
        )
        chosen = published.direction(direction, latent=latent)
        write = to_onnx if to == "onnx" else to_spandrel
        worst = write(published, chosen, target, TOLERANCE if tolerance is None else tolerance)
        said = f", direction {chosen.name}, maximum difference {worst:.2g}"
        record |= {"direction": chosen.name, "max_difference": worst}
    else:
        tensors = read_tensors(Path(model))
        card = read_card(Path(model))
        if weights == "raw":
            card, tensors = _raw(Path(model), card, tensors)
        if to == "hub":
            from translate.export import Facts, to_hub

            to_hub(card, tensors, target, Facts(license, data_note, metrics, metric_data))
        else:
            write_card(target, card, tensors)
    console.line(f"{target}: {card.plugin}, {card.weights} weights, {card.origin}{said}")
    console.record({**record, "plugin": card.plugin, "weights": card.weights, "step": card.step})


def _metrics(given: Sequence[str]) -> dict[str, float]:
    metrics = {}
    for text in given:
        name, _, value = text.rpartition("=")
        try:
            metrics[name] = float(value)
        except ValueError:
            metrics[name] = math.nan
        if not name or not math.isfinite(metrics[name]):
            raise UsageError(f"--metric {text}: expected NAME=NUMBER")
    return metrics


def _raw(folder: Path, card: Card, tensors: dict[str, Tensor]) -> tuple[Card, dict[str, Tensor]]:
    """The weights as the optimizers left them, from the run's latest checkpoint."""
    from safetensors import safe_open

    from translate.training.checkpoint import list_checkpoints
    from translate.training.folder import CHECKPOINTS

    found = list_checkpoints(folder / CHECKPOINTS)
    if not found:
        raise UsageError(f"--weights raw: {folder} has no checkpoint; expected a run folder")
    with safe_open(found[-1], framework="pt") as file:
        present = set(file.keys())
        # Constant networks are not in a checkpoint, and have no average.
        raw = {key: file.get_tensor(f"nets/{key}") if f"nets/{key}" in present else t for key, t in tensors.items()}
    step = int(found[-1].stem.removeprefix("step-"))
    return dataclasses.replace(card, weights="raw", step=step), raw
