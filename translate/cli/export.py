"""``gantk export``: a trained model as a file that travels, for gantk or for other tools."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from translate.cli import derived
from translate.console import current
from translate.data.decode import open_image
from translate.data.formats import ImageError
from translate.data.values import WHOLE, to_numbers
from translate.errors import UsageError
from translate.evaluation.result import of_these_weights
from translate.export.check import TOLERANCE
from translate.export.half import HALF_TOLERANCE
from translate.export.hub import Facts, to_hub
from translate.export.onnx import OPSET, to_onnx
from translate.export.pth import to_pth
from translate.export.ranges import Range
from translate.export.samples import samples
from translate.export.spandrel import to_spandrel
from translate.fields import Spelling
from translate.files import make_folder
from translate.modelfile.card import Card
from translate.modelfile.header import locate
from translate.modelfile.model import Published, load_published
from translate.modelfile.write import write_card
from translate.training.checkpoint import newest_readable, step_of
from translate.training.folder import CHECKPOINTS

HUB = "Model card (--to hub)"
OTHERS = ("onnx", "spandrel", "pth")
"""Forms that other tools read: one direction each, compared with ours before it is kept."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Write a model in a form that travels; the same model always gives the same safetensors bytes.

    ONNX and spandrel files are run by these tools on several sizes, and kept only if the results agree. A .pth file is
    a torch.save of tensors by the public code's names, which gantk import reads back unchanged.
    """

    model: Annotated[Path, "run folder or model file", Spelling(positional=True, metavar="MODEL")]
    out: Annotated[Path, "file or folder to write; must not exist", Spelling(short="-o")]
    to: Annotated[
        Literal["safetensors", "onnx", "spandrel", "pth", "hub"],
        "our own file, ONNX, names that other upscalers detect, weights as the public code saves them, or a folder for "
        "a model hub",
    ] = "safetensors"
    direction: Annotated[str | None, "what to export to another tool, if there are several"] = None
    weights: Annotated[
        Literal["published", "raw"] | None,
        "published: what previews and infer use; raw: without the moving average, from a run folder",
    ] = None
    tolerance: Annotated[
        float | None,
        f"largest difference of an onnx or spandrel file, on -1 to 1 [{TOLERANCE:g}; with --half {HALF_TOLERANCE:g}]",
        Gt(0),
    ] = None
    range: Annotated[Range | None, "black and white in an onnx file's pictures [-1..1]; most hosts expect 0..1"] = None
    half: Annotated[bool, "fp16 inside an onnx file; pictures in and out, and norms, stay fp32"] = False
    opset: Annotated[int | None, f"version of an onnx file's operators [{OPSET}]", Ge(18)] = None
    license: Annotated[str, "licence, by the hub's name for it, such as mit", Spelling(panel=HUB)] = ""
    data_note: Annotated[str, "what it was trained on", Spelling(panel=HUB)] = ""
    preview: Annotated[
        Path | None,
        "picture that shows what it does; without it, samplers draw one, and no other model has one",
        Spelling(metavar="FILE", panel=HUB),
    ] = None
    metric: Annotated[tuple[str, ...], "a measured value", Spelling(metavar="NAME=NUMBER", panel=HUB)] = ()
    metric_data: Annotated[str, "what the metrics were measured on", Spelling(panel=HUB)] = ""

    def __post_init__(self) -> None:
        if self.out.exists() or self.out.is_symlink():
            raise UsageError(f"--out {self.out}: exists already; choose another name")
        concerned: tuple[tuple[tuple[str, ...], dict[str, object]], ...] = (
            (OTHERS, {"--direction": self.direction}),
            (("onnx", "spandrel"), {"--tolerance": self.tolerance}),
            (("onnx",), {"--range": self.range, "--opset": self.opset, "--half": self.half}),
            (
                ("hub",),
                {
                    "--license": self.license,
                    "--data-note": self.data_note,
                    "--preview": self.preview,
                    "--metric": self.metric,
                    "--metric-data": self.metric_data,
                },
            ),
        )
        for forms, flags in concerned:
            for flag, value in flags.items():
                if value not in (None, False, "", ()) and self.to not in forms:
                    expected = " or ".join(f"--to {form}" for form in forms)
                    raise UsageError(f"{flag}: expected {expected}, not {self.to}")
        if bool(self.metric) != bool(self.metric_data):
            given, other = ("--metric", "--metric-data") if self.metric else ("--metric-data", "--metric")
            raise UsageError(f"{given}: expected {other} as well; a value means little without its data")
        if self.to in OTHERS and self.weights == "raw":
            raise UsageError(f"--weights raw --to {self.to}: export to safetensors first, and that file to {self.to}")
        _metrics(self.metric)


def export(options: Options) -> None:
    """Write the file or folder, and show what it holds."""
    published = load_published(options.model)  # refuses what could not be run
    make_folder(options.out.parent, f"--out {options.out}")
    if options.to in OTHERS:
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
    if options.to == "onnx":
        range_, opset = options.range or "-1..1", options.opset or OPSET
        worst = to_onnx(
            published, chosen, options.out, options.tolerance, range_=range_, opset=opset, half=options.half
        )
    else:
        worst = to_spandrel(published, chosen, options.out, options.tolerance or TOLERANCE)
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
            metrics=_metrics(options.metric),
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


command = derived.command("export", Options, export)
