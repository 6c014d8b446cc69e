"""gantk export --to ncnn, by ncnn's own run of what was written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from small_models import save_random
from torch.overrides import BaseTorchFunctionMode

from translate.cli import app as cli
from translate.contract import Batch, DataSpec
from translate.modelfile.model import load_published

SR = DataSpec(64, {"low": 3, "high": 3}, scale=2)
PAIRS = DataSpec(32, {"a": 3, "b": 3})
MODELS = {
    "cyclegan": ({"width": 4, "blocks": 1}, PAIRS),
    "pix2pix": ({"width": 2}, DataSpec(32, {"a": 1, "b": 3})),
    "srgan": ({"width": 4, "blocks": 1}, DataSpec(96, {"low": 3, "high": 3}, scale=4)),
    "esrgan": ({"width": 4, "blocks": 1, "growth": 4, "unshuffle": 2}, SR),
    "realesrgan": ({"width": 4, "blocks": 1, "generator": "compact", "perceptual": "none"}, SR),
    "video-pix2pix": ({"width": 2}, PAIRS),
    "stargan": ({"width": 4}, DataSpec(64, {"image": 3}, names={"domain": ("summer", "winter")})),
    "dcgan": ({"width": 2, "latent": 6}, DataSpec(32, {"image": 3})),
}


@pytest.fixture(autouse=True)
def extra() -> None:
    pytest.importorskip("ncnn")
    pytest.importorskip("pnnx")


def saved(tmp_path: Path, plugin: str) -> Path:
    fields, data = MODELS[plugin]
    return save_random(tmp_path / "model.safetensors", plugin, fields, data)


def export(*words: object) -> int:
    return cli.run(["export", *map(str, words), "--to", "ncnn", "--quiet"])


def run(folder: Path, picture: torch.Tensor) -> torch.Tensor:
    import ncnn

    net = ncnn.Net()
    assert net.load_param(str(folder / f"{folder.name}.param")) == 0
    assert net.load_model(str(folder / f"{folder.name}.bin")) == 0
    extractor = net.create_extractor()
    extractor.input("data", ncnn.Mat(picture[0].numpy()).clone())
    code, output = extractor.extract("output")
    assert code == 0
    return torch.from_numpy(output.numpy().copy())[None]


@pytest.mark.parametrize("plugin", ["cyclegan", "pix2pix", "srgan", "esrgan", "realesrgan"])
def test_ncnn_computes_the_same_at_any_size(tmp_path: Path, plugin: str) -> None:
    model, folder = saved(tmp_path, plugin), tmp_path / "small"
    assert export(model, "-o", folder) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["small.bin", "small.json", "small.param"]
    published = load_published(model)
    direction = published.directions[0]
    about = json.loads((folder / "small.json").read_text("utf-8"))
    assert about["gantk"] == json.loads(published.card.to_json())
    assert (about["multiple"], about["range"]) == (direction.multiple, "-1..1")
    picture = torch.rand(1, published.data.channels[direction.inputs], 96, 64) * 2 - 1
    with torch.inference_mode():
        expected = direction.run(published.nets, Batch({direction.inputs: picture}))
    torch.testing.assert_close(run(folder, picture), expected, rtol=1e-4, atol=1e-4)


def test_pictures_from_0_to_1_and_weights_of_half_the_size(tmp_path: Path) -> None:
    model = saved(tmp_path, "realesrgan")
    assert export(model, "-o", tmp_path / "full") == 0
    assert export(model, "-o", tmp_path / "half", "--range", "0..1", "--half") == 0
    sizes = [(tmp_path / name / f"{name}.bin").stat().st_size for name in ("full", "half")]
    assert sizes[1] < 0.7 * sizes[0]
    low = torch.rand(1, 3, 10, 7)
    full = (run(tmp_path / "full", low * 2 - 1) + 1) / 2
    difference = (run(tmp_path / "half", low) - full).abs().max()
    assert 0 < difference < 1e-2


@pytest.mark.parametrize("plugin", ["video-pix2pix", "stargan", "dcgan"])
def test_anything_but_one_picture_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], plugin: str) -> None:
    model = saved(tmp_path, plugin)
    assert export(model, "-o", tmp_path / "net") == 2
    error = capsys.readouterr().err
    assert error.startswith("gantk: error: --to ncnn: ")
    assert "expected a direction of one picture" in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == [model.name]


def test_what_ncnn_lacks_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from translate.export.ncnn import Plain

    monkeypatch.setattr(Plain, "__torch_function__", BaseTorchFunctionMode.__torch_function__)
    model = saved(tmp_path, "cyclegan")
    assert export(model, "-o", tmp_path / "net") == 1
    error = capsys.readouterr().err
    assert "a2b needs aten::group_norm, which ncnn does not have" in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == [model.name]


def test_what_differs_is_not_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = saved(tmp_path, "srgan")
    assert export(model, "-o", tmp_path / "net", "--tolerance", "1e-12") == 1
    assert "ncnn differs by" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [model.name]
