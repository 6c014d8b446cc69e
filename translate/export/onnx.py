"""A direction as ONNX."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from translate.contract import Direction
from translate.errors import one_line
from translate.export.check import ExportError, compared, example, need
from translate.export.half import halved
from translate.export.options import OPSET, Range
from translate.export.ranges import InRange
from translate.files import write_whole
from translate.modelfile.card import METADATA_KEY
from translate.modelfile.model import DirectionModule, Published

RANGE_KEY = "range"
"""Metadata key of the range."""


def to_onnx(
    model: Published,
    direction: Direction,
    path: Path,
    tolerance: float | None = None,
    *,
    range_: Range = "-1..1",
    opset: int = OPSET,
    half: bool = False,
) -> float:
    """Write a direction as one ONNX file with any batch, height and width; returns the maximum difference.

    Height and width are multiples of the direction's; conditions are inputs of their own. ONNX Runtime runs the file on
    two sizes other than the exporter's; a difference above ``tolerance`` (by default ``TOLERANCE``, or
    ``HALF_TOLERANCE``) raises ``ExportError`` and leaves no file. ``half``: weights and activations in fp16, what goes
    in and out in fp32. Metadata: ``gantk``, the model's card, and ``range``. Nothing of this machine is in the file.
    """
    need("onnx", "onnx", "onnxruntime", "onnxscript")
    if direction.sequence:
        raise ExportError(f"{model.path}: {direction.name} follows frames in order, which an ONNX file cannot")
    module = InRange(DirectionModule(model.nets, direction), model.data, range_).eval()

    def write(temporary: Path) -> float:
        proto = _exported(model, direction, module, {METADATA_KEY: model.card.to_json(), RANGE_KEY: range_}, opset)
        temporary.write_bytes(_without_traces(halved(proto) if half else proto))
        inputs = [example(model, direction, *sizes) for sizes in ((1, 9, 5), (3, 4, 7))]
        return compared(_runner(temporary), module, inputs, "ONNX Runtime", tolerance, half=half)

    with _quiet():
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_whole(path, write)


def _exported(
    model: Published, direction: Direction, module: nn.Module, metadata: Mapping[str, str], opset: int
) -> Any:
    """The direction as a ``ModelProto``."""
    # Nothing may be 1 or equal here, or the exporter would take it for a constant.
    given = example(model, direction, 2, 6, 8)
    try:
        program = torch.onnx.export(
            module,
            given,
            dynamo=True,
            dynamic_shapes=(_dynamic(direction),),
            input_names=list(direction.arguments),
            output_names=[output_name(direction)],
            opset_version=opset,
            external_data=False,
            verbose=False,
        )
    except Exception as error:  # torch raises dozens of types here, each with pages of text
        raise ExportError(f"{model.path}: {direction.name} cannot become ONNX ({one_line(error)})") from error
    assert program is not None
    program.model.metadata_props.update(metadata)
    return program.model_proto


def output_name(direction: Direction) -> str:
    """What the result is called in the file: its domain, unless an input has that name already."""
    return f"{direction.outputs}_out" if direction.outputs in direction.arguments else direction.outputs


def _without_traces(model: Any) -> bytes:
    """The file without what the exporter notes of each node: stack traces, with the paths of this machine."""
    graphs = [model.graph]
    while graphs:
        graph = graphs.pop()
        for node in graph.node:
            graphs += [a.g for a in node.attribute if a.HasField("g")]
            graphs += [inner for a in node.attribute for inner in a.graphs]
        for part in (*graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info, graph):
            del part.metadata_props[:]
            part.doc_string = ""
    for function in model.functions:
        function.doc_string = ""
        for node in function.node:
            del node.metadata_props[:]
            node.doc_string = ""
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _dynamic(direction: Direction) -> tuple[dict[int, Any], ...]:
    batch = {0: Dim("batch")}
    sides: dict[int, Any] = dict(batch)
    if direction.latent is None:
        for axis, name in ((2, "height"), (3, "width")):
            side = Dim(name)
            sides[axis] = direction.multiple * side if direction.multiple > 1 else side
    return (*([sides] * len(direction.input_names)), *([batch] * len(direction.conditions)))


def _runner(path: Path) -> Callable[..., Tensor]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; a result that is wrong shows in the comparison
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]

    def run(*given: Tensor) -> Tensor:
        feed = {name: tensor.numpy() for name, tensor in zip(names, given, strict=True)}
        return torch.from_numpy(session.run(None, feed)[0])

    return run


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
