"""A direction for ncnn, which runs networks on phones and on GPUs by Vulkan: a folder with a .param and a .bin file."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from translate.contract import Direction
from translate.errors import UsageError, one_line
from translate.export.check import ExportError, compared, example, need
from translate.export.options import Range
from translate.export.ranges import InRange
from translate.files import write_folder_whole, write_text_whole, write_whole
from translate.modelfile.card import METADATA_KEY
from translate.modelfile.model import DirectionModule, Published

INPUT, OUTPUT = "data", "output"
"""What ncnn's upscalers call the picture that goes in and the one that comes out."""
RENAMED = {"in0": INPUT, "out0": OUTPUT}
"""The same by pnnx' names."""


class Plain(TorchFunctionMode):
    """Writes what pnnx does not translate in operations that it does, while a network is traced."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if func is F.group_norm and args[0].dim() == 4 and args[1] == args[0].shape[1] and len(args) == 2:
            return F.instance_norm(args[0], eps=given.get("eps", 1e-5))
        if func is torch.addcmul and not given:
            return args[0] + args[1] * args[2]
        return func(*args, **given)


def to_ncnn(
    model: Published,
    direction: Direction,
    folder: Path,
    tolerance: float | None = None,
    *,
    range_: Range = "-1..1",
    half: bool = False,
) -> float:
    """Write a direction of one picture for ncnn, for any height and width; returns the maximum difference.

    The files have the folder's name. Height and width are multiples of the direction's, which a third file, ``.json``,
    states beside the model's card. pnnx translates the network, and ncnn runs it on three sizes: a difference above
    ``tolerance`` (as in ``compared``) raises ``ExportError`` and leaves no folder. ``half``: weights in fp16. Raises
    ``UsageError`` for a direction that takes anything else than one picture.
    """
    need("ncnn", "pnnx", "ncnn")
    if len(direction.arguments) > 1 or direction.latent is not None or direction.sequence:
        raise UsageError(f"--to ncnn: expected a direction of one picture, not {direction.name} of {model.plugin}")
    module = InRange(DirectionModule(model.nets, direction), model.data, range_).eval()
    name = folder.name

    def write(fresh: Path) -> float:
        # Sizes of which every network has more than a pixel in its middle.
        pair = example(model, direction, 1, 2, 3), example(model, direction, 1, 3, 4)
        param, weights = _translated(model, direction, module, [given[0] for given in pair], half=half)
        write_text_whole(fresh / f"{name}.param", param)
        write_whole(fresh / f"{name}.bin", lambda path: path.write_bytes(weights))
        about = {METADATA_KEY: json.loads(model.card.to_json()), "range": range_, "multiple": direction.multiple}
        write_text_whole(fresh / f"{name}.json", json.dumps(about, indent=2, sort_keys=True) + "\n")
        run = _runner(fresh / f"{name}.param", fresh / f"{name}.bin")
        return compared(run, module, [*pair, example(model, direction, 1, 4, 2)], "ncnn", tolerance, half=half)

    folder.parent.mkdir(parents=True, exist_ok=True)
    return write_folder_whole(folder, write)


def _translated(
    model: Published, direction: Direction, module: nn.Module, pictures: Sequence[Tensor], *, half: bool
) -> tuple[str, bytes]:
    """The texts of a .param and the bytes of a .bin file, from traces with pictures of two sizes."""
    import pnnx

    shapes = [f"[{','.join(map(str, picture.shape))}]f32" for picture in pictures]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with torch.no_grad(), Plain():
                torch.jit.trace(module, tuple(pictures[:1]), check_trace=False).save(f"{folder}/net.pt")
        except Exception as error:  # torch raises dozens of types here, each with pages of text
            raise ExportError(f"{model.path}: {direction.name} cannot be traced ({one_line(error)})") from error
        command = [pnnx.EXEC_PATH, "net.pt", f"inputshape={shapes[0]}", f"inputshape2={shapes[1]}", f"fp16={half:d}"]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        param, weights = (Path(folder) / f"net.ncnn.{suffix}" for suffix in ("param", "bin"))
        if result.returncode or not param.is_file():
            reason = ([*result.stderr.splitlines(), *result.stdout.splitlines()] or ["no reason given"])[-1]
            raise ExportError(f"{model.path}: pnnx does not translate {direction.name} ({reason[:160]})")
        text = param.read_text(encoding="utf-8")
        unknown = {kind for kind in (line.split()[0] for line in text.splitlines()[2:]) if not kind.isidentifier()}
        if unknown:
            operations = ", ".join(sorted(unknown - {"pnnx.Expression"} or unknown))
            raise ExportError(f"{model.path}: {direction.name} needs {operations}, which ncnn does not have")
        return re.sub(r"\b(?:in0|out0)\b", lambda found: RENAMED[found[0]], text), weights.read_bytes()


def _runner(param: Path, weights: Path) -> Callable[[Tensor], Tensor]:
    import ncnn

    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    if net.load_param(str(param)) or net.load_model(str(weights)):
        raise ExportError(f"ncnn does not load {param.name}")

    def run(picture: Tensor) -> Tensor:
        extractor = net.create_extractor()
        extractor.input(INPUT, ncnn.Mat(picture[0].numpy()).clone())
        failed, output = extractor.extract(OUTPUT)
        if failed:
            raise ExportError(f"ncnn does not run {param.name}")
        return torch.from_numpy(output.numpy().copy())[None]

    return run
