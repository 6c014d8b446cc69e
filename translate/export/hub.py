"""A folder for a model hub: weights, configuration and a model card."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from translate.evaluation.result import Result
from translate.files import write_folder_whole, write_text_whole
from translate.modelfile.card import Card, DirectionRecord
from translate.modelfile.header import FILE_NAME
from translate.modelfile.write import write_card
from translate.provenance import TRAINED, save_png

CONFIG = "config.json"
CARD = "README.md"
PREVIEW = "preview.png"


@dataclass(frozen=True)
class Facts:
    """What a model card states beyond what the model file holds."""

    license: str | None = None
    data_note: str | None = None
    """What it was trained on."""
    metrics: Mapping[str, float] | None = None
    metric_data: str | None = None
    """What the metrics were measured on, which is seldom what it was trained on."""
    results: Sequence[Result] = ()
    """What ``gantk evaluate`` found for these weights."""
    preview: NDArray[np.uint8] | None = None
    """A picture that shows what it does, (H, W, 3)."""


def to_hub(card: Card, tensors: Mapping[str, Tensor], folder: Path, facts: Facts) -> None:
    """Write a folder for a model hub: model file, configuration, model card and its preview, whole or not at all.

    ``gantk infer`` takes the folder as it is.
    """

    def write(fresh: Path) -> None:
        write_card(fresh / FILE_NAME, card, tensors)
        config = {"library_name": "gantk", **asdict(card)}
        write_text_whole(fresh / CONFIG, json.dumps(config, indent=2, sort_keys=True) + "\n")
        write_text_whole(fresh / CARD, model_card(card, folder.name, facts))
        if facts.preview is not None:
            save_png(fresh / PREVIEW, facts.preview, TRAINED)

    folder.parent.mkdir(parents=True, exist_ok=True)
    write_folder_whole(folder, write)


def model_card(card: Card, name: str, facts: Facts) -> str:
    """README.md with the front matter that hubs read; strings are quoted as JSON, which YAML contains."""
    latent = any(direction.latent for direction in card.directions)
    kind = "unconditional-image-generation" if latent else "image-to-image"
    front = ["---", "library_name: gantk", f"pipeline_tag: {kind}", "tags:", "- gantk", f"- {json.dumps(card.plugin)}"]
    if facts.license:
        front.insert(1, f"license: {json.dumps(facts.license.lower())}")
    # No `datasets:`, which is for data sets of the hub, by their names there.
    if facts.metrics and facts.metric_data:
        front += ["model-index:", f"- name: {json.dumps(name)}", "  results:", f"  - task: {{type: {kind}}}"]
        front += [f"    dataset: {{name: {json.dumps(facts.metric_data)}, type: unknown}}", "    metrics:"]
        front += [
            f"    - {{type: {json.dumps(key.lower())}, name: {json.dumps(key)}, value: {_number(value)}}}"
            for key, value in facts.metrics.items()
        ]
    channels = ", ".join(f"{domain} {count}" for domain, count in card.data.channels.items())
    size = "" if card.imported else f"Training images of {card.data.size} pixels. "
    body = [
        "---",
        "",
        f"# {name}",
        "",
        f"Made for gantk: {card.plugin} of {card.distribution} {card.version}.",
        f"Weights: {card.weights}, {card.origin}.",
        "",
        *([f"![What the model makes]({PREVIEW})", ""] if facts.preview is not None else []),
        "## Use",
        "",
        *(f"    {line}" for line in _commands(card.directions, name)),
        "",
        "or in Python:",
        "",
        *(f"    {line}" for line in _python(card.directions[0], name)),
        "",
        *_conditions(card.directions),
        "## Data",
        "",
        facts.data_note or "Not stated.",
        "",
        f"{size}Channels: {channels}; scale {card.data.scale}.",
        "",
        "## Metrics",
        "",
        *(_all_measured(facts) or ["Not stated."]),
        "",
        "## Licence",
        "",
        facts.license or "Not stated.",
    ]
    return "\n".join([*front, *body]) + "\n"


def _number(value: float) -> str:
    """As YAML 1.1 reads a number, which takes ``1e-05`` for text and ``1.0e-05`` for a number."""
    text = repr(value)
    return text if "." in text else text.replace("e", ".0e")


def _all_measured(facts: Facts) -> list[str]:
    lines = list(_measured(facts.metrics, facts.metric_data)) if facts.metrics else []
    for result in facts.results:
        lines += [""] * bool(lines) + list(_evaluated(result))
    return lines


def _evaluated(result: Result) -> Iterator[str]:
    setting = "; ".join(f"{key}: {value}" for key, value in result.setting.items())
    protocol = f", protocol {result.protocol}" if result.protocol else ", no published protocol"
    yield f"By `gantk evaluate`{protocol} ({setting}), with 95 % intervals:"
    yield ""
    for figure in result.figures:
        unit = f" {figure.unit}" if figure.unit else ""
        mark = "" if figure.published else ", not comparable with published numbers"
        how = f", {figure.how}" if figure.how else ""
        yield f"- {figure.name}: {figure.value:.5g}{unit} ({figure.low:.4g} to {figure.high:.4g}{how}{mark})"


def _measured(metrics: Mapping[str, float], data: str | None) -> Iterator[str]:
    if data:
        yield f"Measured on {data}:"
        yield ""
    yield from (f"- {key}: {value:g}" for key, value in metrics.items())


def _python(direction: DirectionRecord, name: str) -> Iterator[str]:
    given = "".join(f", {each}=..." for each, condition in direction.conditions.items() if condition.default is None)
    yield "import translate"
    yield f"model = translate.load({json.dumps(name)})"
    if direction.latent:
        yield f"pictures = model.sample(16, seed=0{given})  # a float tensor (16, C, H, W) in [-1, 1]"
    else:
        also = "".join(f", {other}=..." for other in direction.inputs[1:])
        yield f"result = model(picture{also}{given})  # a Pillow image, a NumPy array or a tensor: the same comes back"


def _conditions(directions: Sequence[DirectionRecord]) -> Iterator[str]:
    """What can be chosen with ``--set``."""
    offered = {name: each for direction in directions for name, each in direction.conditions.items()}
    if not offered:
        return
    yield from ("## Conditions", "")
    yield from (f"- `--set {name}=...`: {condition.words}" for name, condition in offered.items())
    yield ""


def _commands(directions: Sequence[DirectionRecord], name: str) -> Iterator[str]:
    for direction in directions:
        if direction.latent:
            yield f"gantk sample {name} --direction {direction.name} --grid samples.png"
        else:
            also = "".join(f" --also {other}={other}/" for other in direction.inputs[1:])
            yield f"gantk infer {name} photos/{also} --out results/ --direction {direction.name}"
