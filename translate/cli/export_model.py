"""``gantk export`` once its flags are checked."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from translate.console import current
from translate.data.decode import open_image
from translate.data.formats import ImageError
from translate.data.values import WHOLE, to_numbers
from translate.errors import UsageError
from translate.evaluation.result import of_these_weights
from translate.export.hub import Facts, to_hub
from translate.export.ncnn import to_ncnn
from translate.export.onnx import to_onnx
from translate.export.options import OPSET
from translate.export.pth import to_pth
from translate.export.samples import samples
from translate.export.spandrel import to_spandrel
from translate.files import make_folder
from translate.modelfile.card import Card
from translate.modelfile.header import locate
from translate.modelfile.model import Published, load_published
from translate.modelfile.write import write_card
from translate.training.checkpoint import newest_readable, step_of
from translate.training.layout import CHECKPOINTS

if TYPE_CHECKING:
    from translate.cli.export import Options


def write(options: Options) -> None:
    """Write the file or folder, and show what it holds."""
    published = load_published(options.model)  # refuses what could not be run
    make_folder(options.out.parent, f"--out {options.out}")
    if options.for_a_tool:
        card, details, record = published.card, *_for_a_tool(published, options)
    else:
        card, details, record = _for_gantk(published, options), "", {}
    console = current()
    console.line(f"{options.out}: {card.plugin}, {card.weights} weights, {card.origin}{details}")
    about = {"file": str(options.out), "to": options.to, **record}
    console.record({**about, "plugin": card.plugin, "weights": card.weights, "step": card.step})


def _for_a_tool(published: Published, options: Options) -> tuple[str, dict[str, Any]]:
    """Write what another tool reads; how it compares with ours, in words and as a record."""
    samplers = {direction.name for direction in published.directions if direction.latent}
    latent = options.direction in samplers or len(samplers) == len(published.directions)
    chosen = published.direction(options.direction, latent=latent)
    if options.to == "pth":
        title = to_pth(published, chosen, options.out).title
        return f", direction {chosen.name}, as {title}", {"direction": chosen.name, "family": title}
    given, range_ = (published, chosen, options.out, options.tolerance), options.range or "-1..1"
    if options.to == "onnx":
        worst = to_onnx(*given, range_=range_, opset=options.opset or OPSET, half=options.half)
    elif options.to == "ncnn":
        worst = to_ncnn(*given, range_=range_, half=options.half)
    else:
        worst = to_spandrel(*given)
    record = {"direction": chosen.name, "max_difference": worst}
    return f", direction {chosen.name}, maximum difference {worst:.2g}", record


def _for_gantk(published: Published, options: Options) -> Card:
    card, tensors = published.card, dict(published.nets.state_dict())
    if options.weights == "raw":
        card, tensors = _raw(options.model, card, tensors)
    if options.to == "hub":
        facts = Facts(
            license=options.license or None,
            data_note=options.data_note or None,
            metrics=options.metrics,
            metric_data=options.metric_data or None,
            preview=_preview(published, options.preview),
            results=of_these_weights(locate(options.model)) if options.weights != "raw" else (),
        )
        to_hub(card, tensors, options.out, facts)
    else:
        write_card(options.out, card, tensors)
    return card


def _preview(published: Published, path: Path | None) -> NDArray[np.uint8] | None:
    """The user's picture, or samples. A run's previews show what it was trained on, which is not ours to publish."""
    if path is None:
        return samples(published)
    try:
        return to_numbers(open_image(path, 3), WHOLE[8])
    except ImageError as error:
        raise UsageError(f"--preview {error}") from None


def _raw(folder: Path, card: Card, tensors: dict[str, Tensor]) -> tuple[Card, dict[str, Tensor]]:
    """The weights as the optimizers left them, from the run's latest checkpoint."""
    found, faults = newest_readable(folder / CHECKPOINTS)
    if found is None:
        reason = f"has no readable checkpoint ({faults[0]})" if faults else "has no checkpoint; expected a run folder"
        raise UsageError(f"--weights raw: {folder} {reason}")
    for fault in faults:
        current().warning(f"{found} is exported in place of {fault}")
    with safe_open(found, framework="pt") as file:
        present = set(file.keys())
        # Constant networks are not in a checkpoint, and have no average.
        raw = {key: file.get_tensor(f"nets/{key}") if f"nets/{key}" in present else t for key, t in tensors.items()}
    return dataclasses.replace(card, weights="raw", step=step_of(found)), raw
