"""A direction as ONNX."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.export import Dim

from translate.contract import DataSpec, Direction
from translate.errors import one_line
from translate.export.check import TOLERANCE, ExportError, check, difference, example, need
from translate.files import write_whole
from translate.modelfile.card import METADATA_KEY
from translate.modelfile.model import DirectionModule, Published

Range = Literal["-1..1", "0..1"]
"""The numbers of black and white in the pictures that a file takes and gives."""

RANGE_KEY = "range"
"""Metadata key of the range."""
OPSET = 18
"""Version of the operators that are written by default."""


class InRange(nn.Module):
    """A direction whose pictures are in [0, 1], or as they are in [-1, 1]; planes of indices stay what they are."""

    def __init__(self, module: DirectionModule, data: DataSpec, range_: Range) -> None:
        super().__init__()
        self.module = module
        direction, shades = module.direction, data.channels.keys() - set(data.indexed)
        self.pictures = [name in shades and direction.latent is None for name in direction.input_names]
        self.unit = range_ == "0..1"
        self.unit_out = self.unit and direction.outputs in shades

    def forward(self, *tensors: Tensor) -> Tensor:
        """As the direction, with pictures in the range."""
        if not self.unit:
            output: Tensor = self.module(*tensors)
            return output
        pictures = [*self.pictures, *[False] * (len(tensors) - len(self.pictures))]
        given = [x * 2 - 1 if picture else x for picture, x in zip(pictures, tensors, strict=True)]
        inside: Tensor = self.module(*given)
        return (inside + 1) / 2 if self.unit_out else inside


def to_onnx(
    model: Published,
    direction: Direction,
    path: Path,
    tolerance: float = TOLERANCE,
    *,
    range_: Range = "-1..1",
    opset: int = OPSET,
) -> float:
    """Write a direction as one ONNX file with any batch, height and width; returns the maximum difference.

    Height and width are multiples of the direction's; conditions are inputs of their own. ONNX Runtime runs the file on
    two sizes other than the exporter's; a difference above ``tolerance`` raises ``ExportError`` and leaves no file.
    Metadata: ``gantk``, the model's card, and ``range``. Nothing of this machine is in the file.
    """
    need("onnx", "onnx", "onnxruntime", "onnxscript")
    if direction.sequence:
        raise ExportError(f"{model.path}: {direction.name} follows frames in order, which an ONNX file cannot")
    module = InRange(DirectionModule(model.nets, direction), model.data, range_).eval()
    # Nothing may be 1 or equal here, or the exporter would take it for a constant.
    given = example(model, direction, 2, 6, 8)
    with _quiet():
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
    program.model.metadata_props.update({METADATA_KEY: model.card.to_json(), RANGE_KEY: range_})
    content = _without_traces(program.model_proto)
    worst = 0.0

    def write(temporary: Path) -> None:
        nonlocal worst
        temporary.write_bytes(content)
        run = _runner(temporary)
        for count, high, wide in ((1, 9, 5), (3, 4, 7)):
            tensors = example(model, direction, count, high, wide)
            worst = max(worst, difference(run(*tensors), module, tensors))
        check(worst, tolerance, "ONNX Runtime")

    with _quiet():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, write)
    return worst


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

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
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
