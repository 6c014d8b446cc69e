"""A super-resolution network under the names that spandrel, and with it chaiNNer and ComfyUI, detects."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from safetensors.torch import load_file
from torch import Tensor

from translate.contract import Direction
from translate.errors import UsageError, one_line
from translate.export.check import ExportError, compared, example, need, only_network
from translate.files import write_whole
from translate.modelfile.model import DirectionModule, Published
from translate.modelfile.write import stream


@runtime_checkable
class SpandrelForm(Protocol):
    """A network that spandrel supports too."""

    def spandrel_state(self) -> dict[str, Tensor]:
        """Its tensors by spandrel's names. Raises ``UsageError`` for a variant that spandrel does not build."""


def to_spandrel(model: Published, direction: Direction, path: Path, tolerance: float | None = None) -> float:
    """Write the direction's network with the key names that other upscalers detect.

    A safetensors file of the network alone, taking and giving 0 to 1; returns the maximum difference from spandrel's
    own run of it. Raises ``UsageError`` for a network that spandrel does not know.
    """
    net = only_network(model, direction)
    if not isinstance(net, SpandrelForm):
        raise UsageError(f"--to spandrel: spandrel does not know the network of {model.plugin}")
    try:
        state = {key: tensor.contiguous() for key, tensor in sorted(net.spandrel_state().items())}
    except UsageError as error:
        raise UsageError(f"--to spandrel: {model.path}: {error}") from None
    need("spandrel", "spandrel")
    if path.suffix != ".safetensors":
        raise UsageError(
            f"--out {path}: expected a name ending in .safetensors, by which other loaders know the format"
        )
    import spandrel

    module = DirectionModule(model.nets, direction).eval()

    def write(temporary: Path) -> float:
        stream(temporary, state, {})
        try:
            theirs = spandrel.ModelLoader("cpu").load_from_state_dict(load_file(temporary)).model.eval()
        except Exception as error:  # spandrel has no common type of error
            raise ExportError(f"spandrel does not load this network ({one_line(error)})") from error

        def run(low: Tensor) -> Tensor:
            with torch.inference_mode():
                unit: Tensor = theirs((low + 1) / 2)
            return unit * 2 - 1

        inputs = [example(model, direction, *sizes) for sizes in ((1, 9, 12), (2, 16, 7))]
        return compared(run, module, inputs, "spandrel", tolerance)

    path.parent.mkdir(parents=True, exist_ok=True)
    return write_whole(path, write)
