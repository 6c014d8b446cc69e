"""One forward of a network as ``gantk infer`` runs it, beside other engines' run of the exported ONNX file.

    python bench/engines.py cyclegan --side 256 --rounds 5          # needs onnx, onnxruntime, openvino
    python bench/engines.py esrgan --side 64 --engines openvino

Fresh networks of the published sizes on one thread. Figures are seconds of processor time, to which other work on the
machine adds little, as median with the lowest and highest; and the largest difference from torch in fp32, on -1 to 1.
OpenVINO computes in fp32 and in bf16; ONNX Runtime has no bf16 on a CPU.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tables import add_json, append, row, spread, tell_machine
from torch import Tensor

from infer import MODELS, fresh
from translate.export.onnx import to_onnx
from translate.infer.options import InferOptions
from translate.infer.runner import Network
from translate.layers.layout import memory_format
from translate.modelfile.model import Published
from translate.settings import Precision

ENGINES = ("onnxruntime", "openvino")


def ours(model: Published, precision: Precision) -> Callable[[Tensor], Tensor]:
    """The network as a folder's photos go through it."""
    device = torch.device("cpu")
    network = Network(model, model.directions[0], device, InferOptions(device="cpu", precision=precision))
    layout = memory_format(network.nets, device, precision, training=False)
    return lambda x: network.forward(x.contiguous(memory_format=layout))


def openvino(path: Path, shape: torch.Size, precision: str) -> Callable[[Tensor], Tensor]:
    """OpenVINO's compiled model, of this shape alone."""
    from openvino import Core

    core = Core()
    model = core.read_model(path)
    model.reshape(list(shape))
    setting = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
    request = core.compile_model(model, "CPU", setting).create_infer_request()
    return lambda x: torch.from_numpy(request.infer({0: x.numpy()})[0].copy())


def onnxruntime(path: Path) -> Callable[[Tensor], Tensor]:
    """ONNX Runtime's session."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = 1
    session = InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: torch.from_numpy(session.run(None, {name: x.numpy()})[0])


def measured(runs: dict[str, Callable[[Tensor], Tensor]], x: Tensor, rounds: int) -> dict[str, list[float]]:
    """Seconds of processor time of each run, taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            began = time.process_time()
            run(x)
            seconds[name].append(time.process_time() - began)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=list(MODELS))
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engines", nargs="*", choices=ENGINES, default=list(ENGINES))
    add_json(parser)
    given = parser.parse_args()
    torch.set_num_threads(1)
    pixels = np.random.default_rng(0).random((1, 3, given.side, given.side), np.float32)
    x = torch.from_numpy(pixels * 2 - 1)
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    runs = {f"torch, {precision}": ours(fresh(given.network), precision) for precision in precisions}
    with tempfile.TemporaryDirectory() as place:
        model, path = fresh(given.network), Path(place) / "net.onnx"
        if given.engines:
            to_onnx(model, model.directions[0], path)
        if "onnxruntime" in given.engines:
            runs["ONNX Runtime, fp32"] = onnxruntime(path)
        if "openvino" in given.engines:
            runs |= {f"OpenVINO, {name}": openvino(path, x.shape, name) for name in ("f32", "bf16")}
        results = {name: run(x) for name, run in runs.items()}
        seconds = measured(runs, x, given.rounds)
    print(f"{given.network}, one picture of {given.side} px, one thread, seconds of processor time")
    row(("", "seconds", "of torch bf16", "difference"), (20, 26, 14, 12))
    base = statistics.median(seconds["torch, bf16"])
    distances = {name: (result - results["torch, fp32"]).abs().max().item() for name, result in results.items()}
    for name, values in seconds.items():
        row((name, spread(values), statistics.median(values) / base, f"{distances[name]:.1e}"), (20, 26, 14, 12))
    figures = {"seconds": seconds, "difference": distances}
    append(given.json, "engines", {"network": given.network, "side": given.side, **figures})
    tell_machine()


if __name__ == "__main__":
    main()
