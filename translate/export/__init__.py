"""A trained model in the forms that other tools take: ONNX, spandrel's key names, a folder for a model hub.

Each file is checked with the other tool's own loader before it gets its name: a model that computes something else is
not written.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from translate.conditions import examples_of
from translate.contract import Direction
from translate.errors import GantkError, UsageError, one_line
from translate.evaluation.result import Result
from translate.files import sync_folder, write_text_whole, write_whole
from translate.generators.rrdb import RRDBNet
from translate.modelfile.header import FILE_NAME, METADATA_KEY
from translate.modelfile.model import Card, DirectionModule, Published, write_card

TOLERANCE = 1e-3
"""Largest accepted difference of an exported model's pictures, on values in [-1, 1]; 8 bits see 8e-3."""


SPANDREL_GROWTH = 32
"""Channels that each convolution of a dense block adds in spandrel's RRDBNet."""


class ExportError(GantkError):
    """An exported model that does not compute what the original does, or that cannot be exported."""


@dataclass(frozen=True)
class Facts:
    """What a model card says beyond what the model file knows."""

    license: str | None = None
    data_note: str | None = None
    """What it was trained on."""
    metrics: Mapping[str, float] | None = None
    metric_data: str | None = None
    """What the metrics were measured on, which is seldom what it was trained on."""
    results: Sequence[Result] = ()
    """What ``gantk evaluate`` found for these weights."""


def to_onnx(model: Published, direction: Direction, path: Path, tolerance: float = TOLERANCE) -> float:
    """Write a direction as one ONNX file with any batch, height and width; returns the maximum difference.

    Height and width are multiples of the direction's. ONNX Runtime runs the file on two sizes that the exporter has
    not seen; a difference above ``tolerance`` raises ``ExportError`` and leaves no file. Metadata key ``gantk``: the
    model's card.
    """
    _need("onnx", "onnx", "onnxruntime", "onnxscript")
    module = DirectionModule(model.nets, direction).eval()
    # Nothing may be 1 or equal here, or the exporter would take it for a constant.
    example = _example(model, direction, 2, 6, 8)
    with _quiet():
        try:
            program = torch.onnx.export(
                module,
                example,
                dynamo=True,
                dynamic_shapes=(_dynamic(direction),),
                input_names=list(direction.arguments),
                output_names=[direction.outputs],
                external_data=False,
                verbose=False,
            )
        except Exception as error:  # torch raises dozens of types here, each with pages of text
            raise ExportError(f"{model.path}: {direction.name} cannot become ONNX ({one_line(error)})") from error
    assert program is not None
    program.model.metadata_props[METADATA_KEY] = model.card.to_json()
    sizes = [(1, 9, 5), (3, 4, 7)]
    worst = 0.0

    def write(temporary: Path) -> None:
        nonlocal worst
        program.save(str(temporary))
        run = _onnx_runner(temporary)
        for count, high, wide in sizes:
            given = _example(model, direction, count, high, wide)
            worst = max(worst, _difference(run(*given), module, given))
        _check(worst, tolerance, "ONNX Runtime")

    with _quiet():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, write)
    return worst


def to_spandrel(model: Published, direction: Direction, path: Path, tolerance: float = TOLERANCE) -> float:
    """Write ESRGAN's generator with the key names that chaiNNer, ComfyUI and others detect.

    A safetensors file of the network alone, taking and giving 0 to 1; returns the maximum difference to spandrel's own
    run of it. Raises ``UsageError`` for all but an RRDBNet as spandrel builds it: it has neither SRResNet nor MSRResNet
    (srgan), and takes growth 32 and enlargements by 2 alone for granted.
    """
    net = model.nets[direction.roles[0]] if len(direction.roles) == 1 else None
    if not isinstance(net, RRDBNet):
        raise UsageError(
            f"--to spandrel: expected an esrgan model; spandrel does not know the network of {model.plugin}"
        )
    if net.growth != SPANDREL_GROWTH or set(net.factors) - {2}:
        raise UsageError(
            f"--to spandrel: expected --growth {SPANDREL_GROWTH} and a scale of 1, 2, 4 or 8, as spandrel takes for "
            f"granted; {model.path} has growth {net.growth} and scale {direction.scale}"
        )
    _need("spandrel", "spandrel")
    if path.suffix != ".safetensors":
        raise UsageError(
            f"--out {path}: expected a name ending in .safetensors, by which other loaders know the format"
        )
    import spandrel

    # Our names of RRDBNet are BasicSR's, which every loader detects.
    state = {key: tensor.contiguous() for key, tensor in sorted(net.state_dict().items())}
    module = DirectionModule(model.nets, direction).eval()
    worst = 0.0

    def write(temporary: Path) -> None:
        nonlocal worst
        save_file(state, temporary)
        try:
            theirs = spandrel.ModelLoader("cpu").load_from_state_dict(_read(temporary)).model.eval()
        except Exception as error:  # spandrel has no common type of error
            raise ExportError(f"spandrel does not load this network ({one_line(error)})") from error
        for count, high, wide in ((1, 9, 12), (2, 16, 7)):
            given = _example(model, direction, count, high, wide)

            def run(low: Tensor) -> Tensor:
                with torch.inference_mode():
                    output: Tensor = theirs((low + 1) / 2)
                return output * 2 - 1

            worst = max(worst, _difference(run(*given), module, given))
        _check(worst, tolerance, "spandrel")

    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, write)
    return worst


def to_hub(card: Card, tensors: Mapping[str, Tensor], folder: Path, facts: Facts) -> None:
    """Write a folder for a model hub: ``model.safetensors``, ``config.json`` and ``README.md``, whole or not at all.

    ``gantk infer`` takes the folder as it is.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = folder.with_name(f".{folder.name[:200]}.{os.getpid()}.part")
    fresh.mkdir()
    try:
        write_card(fresh / FILE_NAME, card, tensors)
        config = {"library_name": "gantk", **asdict(card)}
        write_text_whole(fresh / "config.json", json.dumps(config, indent=2, sort_keys=True) + "\n")
        write_text_whole(fresh / "README.md", model_card(card, folder.name, facts))
        fresh.rename(folder)
    except BaseException:
        for file in fresh.iterdir():
            file.unlink(missing_ok=True)
        fresh.rmdir()
        raise
    sync_folder(folder.parent)


def model_card(card: Card, name: str, facts: Facts) -> str:
    """README.md with the front matter that hubs read; strings are quoted as JSON, which YAML contains."""
    latent = any(direction["latent"] for direction in card.directions)
    kind = "unconditional-image-generation" if latent else "image-to-image"
    front = ["---", "library_name: gantk", f"pipeline_tag: {kind}", "tags:", "- gantk", f"- {json.dumps(card.plugin)}"]
    if facts.license:
        front.insert(1, f"license: {json.dumps(facts.license.lower())}")
    # No `datasets:`, which is for data sets of the hub, by their names there.
    if facts.metrics and facts.metric_data:
        front += ["model-index:", f"- name: {json.dumps(name)}", "  results:", f"  - task: {{type: {kind}}}"]
        front += [f"    dataset: {{name: {json.dumps(facts.metric_data)}, type: unknown}}", "    metrics:"]
        front += [
            f"    - {{type: {json.dumps(key.lower())}, name: {json.dumps(key)}, value: {value!r}}}"
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
        "## Use",
        "",
        *(f"    {line}" for line in _commands(card.directions, name)),
        "",
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


def _commands(directions: Sequence[Mapping[str, Any]], name: str) -> Iterator[str]:
    for direction in directions:
        if direction["latent"]:
            yield f"gantk sample {name} --direction {direction['name']} --grid samples.png"
        else:
            yield f"gantk infer {name} photos/ --out results/ --direction {direction['name']}"


def _example(model: Published, direction: Direction, count: int, high: int, wide: int) -> tuple[Tensor, ...]:
    """Arguments of a direction: so many, and of so many times the multiple (8 at least) on each side."""
    generator = torch.Generator().manual_seed(count)
    conditions = examples_of(direction, {}, count).values()
    if direction.latent is not None:
        return (direction.latent.draw(count, generator), *conditions)
    unit = direction.multiple * -(-4 // direction.multiple)
    shapes = [(count, model.data.channels[name], high * unit, wide * unit) for name in direction.input_names]
    return (*(torch.rand(shape, generator=generator) * 2 - 1 for shape in shapes), *conditions)


def _dynamic(direction: Direction) -> tuple[dict[int, Any], ...]:
    from torch.export import Dim

    batch = {0: Dim("batch")}
    sides: dict[int, Any] = dict(batch)
    if direction.latent is None:
        for axis, name in ((2, "height"), (3, "width")):
            side = Dim(name)
            sides[axis] = direction.multiple * side if direction.multiple > 1 else side
    return (*([sides] * len(direction.input_names)), *([batch] * len(direction.conditions)))


def _onnx_runner(path: Path) -> Callable[..., Tensor]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]

    def run(*given: Tensor) -> Tensor:
        feed = {name: tensor.numpy() for name, tensor in zip(names, given, strict=True)}
        return torch.from_numpy(session.run(None, feed)[0])

    return run


def _difference(output: Tensor, module: DirectionModule, given: Sequence[Tensor]) -> float:
    with torch.inference_mode():
        expected = module(*given)
    if output.shape != expected.shape:
        raise ExportError(f"the exported model gives shape {tuple(output.shape)}; expected {tuple(expected.shape)}")
    worst = (output - expected).abs().max().item()
    return worst if worst == worst else float("inf")


def _check(worst: float, tolerance: float, tool: str) -> None:
    if worst > tolerance:
        raise ExportError(f"{tool} differs by {worst:.2g}, more than --tolerance {tolerance:g}; nothing was written")


def _need(extra: str, *modules: str) -> None:
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise UsageError(f"--to {extra} needs {', '.join(missing)}, not installed; pip install 'gantk[{extra}]'")


def _read(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's own warnings and log lines: its result is checked."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
