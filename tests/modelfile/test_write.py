"""Our writer of safetensors files, read back by the package's own reader; what is refused when a model is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gantk_gan import GAN
from translate.cli import app as cli
from translate.contract import DataSpec
from translate.modelfile.header import ModelFileError, read_header, verify
from translate.modelfile.model import build_nets, load_published
from translate.modelfile.write import DTYPES, save_published, write_tensors


def test_any_tensor_is_read_back_by_the_package(tmp_path: Path) -> None:
    tensors = {
        f"t.{name}": (torch.rand(2, 3, generator=torch.Generator().manual_seed(0)) * 50).to(dtype)
        for dtype, name in DTYPES.items()
    }
    tensors |= {"scalar": torch.tensor(3.5), "empty": torch.zeros(0, 4), "turned": torch.rand(4, 6).T}
    tied = torch.rand(5)
    tensors |= {"one": tied, "other": tied}
    path = tmp_path / "t.safetensors"
    write_tensors(path, tensors, {"gantk": '{"é": 1}'})
    read = load_file(path)
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor), name
    with safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()["gantk"]) == {"é": 1}
    header = read_header(path)
    assert verify(header)
    assert header.length % 8 == 0


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    write_tensors(path, {"a": torch.ones(3)}, {})
    before = path.read_bytes()
    with pytest.raises(ModelFileError, match="tensor b is of type complex64"):
        write_tensors(path, {"a": torch.ones(3), "b": torch.ones(3, dtype=torch.complex64)}, {})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    task, data = GAN(), DataSpec(8, {"image": 1})
    path = tmp_path / "model.safetensors"
    tensors = build_nets(task, data, ["g"]).state_dict()
    save_published(path, plugin="gan", task=task, data=data, tensors=tensors, weights="raw", step=1, precision="bf16")
    return path


def test_a_flipped_byte_is_found_when_a_model_is_read(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["inspect", str(model), "--verify"]) == 0
    assert "whole" in capsys.readouterr().out
    content = bytearray(model.read_bytes())
    content[-3] ^= 1
    model.write_bytes(content)
    with pytest.raises(ModelFileError, match="damaged: its content is not what its checksum describes"):
        load_published(model)
    assert cli.run(["inspect", str(model), "--verify"]) == 3
    assert "damaged" in capsys.readouterr().err


def test_the_precision_of_the_training_travels(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert load_published(model).card.precision == "bf16"
    assert cli.run(["inspect", str(model)]) == 0
    assert "8 pixels, bf16" in capsys.readouterr().out


def test_integers_are_not_taken_for_weights(model: Path) -> None:
    header = read_header(model)
    tensors = load_file(model)
    name = next(name for name in tensors if name.endswith("weight"))
    tensors[name] = tensors[name].view(torch.int32)
    save_file(tensors, model, {"gantk": header.metadata["gantk"]})
    with pytest.raises(ModelFileError, match=f"tensor {name} is of type int32; expected float32"):
        load_published(model)
