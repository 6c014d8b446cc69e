"""gantk export --to onnx --half: fp16 inside, fp32 outside, and nothing kept that fp16 cannot hold."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_models import save_random

from translate.cli import app as cli
from translate.contract import Batch, DataSpec
from translate.modelfile.model import load_published
from translate.modelfile.write import save_published

SR = DataSpec(64, {"low": 3, "high": 3}, scale=2)
MODELS = {
    "cyclegan": ({"width": 4, "blocks": 1}, DataSpec(32, {"a": 3, "b": 3})),
    "realesrgan": ({"width": 4, "blocks": 1, "generator": "compact", "perceptual": "none"}, SR),
    "dcgan": ({"width": 2, "latent": 6}, DataSpec(32, {"image": 3})),
}


def saved(tmp_path: Path, plugin: str) -> Path:
    fields, data = MODELS[plugin]
    return save_random(tmp_path / "model.safetensors", plugin, fields, data)


def export(*words: object) -> int:
    return cli.run(["export", *map(str, words), "--to", "onnx", "--quiet"])


@pytest.mark.parametrize("plugin", list(MODELS))
def test_numbers_inside_are_fp16_and_outside_fp32(tmp_path: Path, plugin: str) -> None:
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    model, target = saved(tmp_path, plugin), tmp_path / "half.onnx"
    assert export(model, "-o", target, "--half") == 0
    proto = onnx.load(target)
    onnx.checker.check_model(proto, full_check=True)
    weights = [each for each in proto.graph.initializer if len(each.dims) == 4]
    assert weights
    assert all(each.data_type == onnx.TensorProto.FLOAT16 for each in weights)
    session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    assert {entry.type for entry in (*session.get_inputs(), *session.get_outputs())} == {"tensor(float)"}
    published = load_published(model)
    assert session.get_modelmeta().custom_metadata_map["gantk"] == published.card.to_json()
    direction = published.direction(None, latent=plugin == "dcgan")
    given = torch.rand((3, 6) if plugin == "dcgan" else (2, 3, 12, 20)) * 2 - 1
    (output,) = session.run([direction.outputs], {direction.inputs: given.numpy()})
    with torch.inference_mode():
        expected = direction.run(published.nets, Batch({direction.inputs: given}))
    worst = (torch.from_numpy(output) - expected).abs().max()
    assert worst < 2e-2


def test_norms_stay_in_fp32(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    assert export(saved(tmp_path, "cyclegan"), "-o", tmp_path / "half.onnx", "--half") == 0
    graph = onnx.load(tmp_path / "half.onnx").graph
    casts = {node.output[0]: node.attribute[0].i for node in graph.node if node.op_type == "Cast"}
    norms = [node for node in graph.node if node.op_type == "InstanceNormalization"]
    assert len(norms) == 7
    assert all(casts[node.input[0]] == onnx.TensorProto.FLOAT for node in norms)


def test_activations_beyond_fp16_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """ONNX Runtime's own run on a CPU would show nothing."""
    pytest.importorskip("onnxruntime")
    published = load_published(saved(tmp_path, "realesrgan"))
    state = published.nets.state_dict()
    state["g.body.0.weight"] *= 1e6
    state["g.body.2.weight"] *= 1e-6
    path = tmp_path / "large.safetensors"
    about = {"plugin": "realesrgan", "task": published.task, "data": published.data, "weights": "raw", "step": 1}
    save_published(path, tensors=state, **about)  # type: ignore[arg-type]
    assert export(path, "-o", tmp_path / "full.onnx") == 0
    capsys.readouterr()
    assert export(path, "-o", tmp_path / "half.onnx", "--half") == 1
    error = capsys.readouterr().err
    assert "half precision gives what is not a finite number; nothing was written" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "half.onnx").exists()


def test_a_larger_difference_than_allowed_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    assert export(saved(tmp_path, "realesrgan"), "-o", tmp_path / "x.onnx", "--half", "--tolerance", "1e-6") == 1
    assert "half precision differs by" in capsys.readouterr().err
    assert not (tmp_path / "x.onnx").exists()


def test_half_is_for_onnx_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["export", str(saved(tmp_path, "dcgan")), "-o", str(tmp_path / "x.safetensors"), "--half"]
    assert cli.run(words) == 2
    assert "--half: expected --to onnx" in capsys.readouterr().err
