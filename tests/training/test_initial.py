"""Starting from weights: of a model file, a checkpoint, one role; and what does not fit is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from listening import listening
from toy import Toy, toy_batch, toy_data
from translate.errors import GantkError, UsageError
from translate.settings import Run
from translate.training.checkpoint import save_checkpoint
from translate.training.engine import Engine


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    engine = Engine(Toy(), toy_data(), Run(batch=4, seed=5))
    engine.train_step(lambda: toy_batch(0), 0.0)
    path = save_checkpoint(tmp_path, engine, position=1, keep=1)
    assert path is not None
    return path


def start(*init: str) -> Engine:
    return Engine(Toy(), toy_data(), Run(batch=4, init=init))


def test_every_shared_role_is_loaded_and_averaged_from_there(checkpoint: Path) -> None:
    engine, other = start(str(checkpoint)), start()
    assert engine.initialised == ["d", "g"]
    assert not torch.equal(engine.nets.g[0].weight, other.nets.g[0].weight)
    assert torch.equal(engine.averages["g"][0].weight, engine.nets.g[0].weight)  # type: ignore[index]
    again = Engine(Toy(), toy_data(), Run(batch=4, seed=5))
    again.train_step(lambda: toy_batch(0), 0.0)
    assert torch.equal(engine.nets.d[0].weight, again.nets.d[0].weight)


def test_one_role_alone(checkpoint: Path, tmp_path: Path) -> None:
    engine, other = start(f"g={checkpoint}"), start()
    assert engine.initialised == ["g"]
    assert torch.equal(engine.nets.d[0].weight, other.nets.d[0].weight)
    single = tmp_path / "single.safetensors"
    save_file({f"upscaler.{k}": v.contiguous() for k, v in engine.nets.g.state_dict().items()}, single)
    assert torch.equal(start(f"g={single}").nets.g[0].weight, engine.nets.g[0].weight)


def test_what_does_not_fit_is_named(checkpoint: Path, tmp_path: Path) -> None:
    strange = tmp_path / "strange.safetensors"
    save_file({"painter.weight": torch.zeros(2)}, strange)
    with pytest.raises(UsageError, match=r"it has painter; this model has g, d, fixed"):
        start(str(strange))
    state = dict(start().nets.g.state_dict())
    save_file({f"g.{k}": v.contiguous() for k, v in {**state, "0.weight": torch.zeros(4, 3, 5, 5)}.items()}, strange)
    with pytest.raises(GantkError, match=r"role g: tensor 0.weight has shape \(4, 3, 5, 5\), expected \(4, 3, 3, 3\)"):
        start(str(strange))
    with pytest.raises(GantkError, match="no such model"):
        start(str(tmp_path / "nowhere.safetensors"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_converted_and_reported(checkpoint: Path, tmp_path: Path, dtype: Any) -> None:
    state = {key: tensor.to(dtype).contiguous() for key, tensor in start(str(checkpoint)).nets.g.state_dict().items()}
    save_file({f"g.{key}": tensor for key, tensor in state.items()}, tmp_path / "other.safetensors")
    lines: list[str] = []
    with listening(lines):
        engine = start(str(tmp_path / "other.safetensors"))
    name = str(dtype).removeprefix("torch.")
    assert lines == [f"--init {tmp_path / 'other.safetensors'}: role g: converted from {name} to float32"]
    for key, tensor in engine.nets.g.state_dict().items():
        assert torch.equal(tensor, state[key].float())


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.bool])
def test_whole_numbers_are_no_weights(checkpoint: Path, tmp_path: Path, dtype: Any) -> None:
    state = {
        f"g.{key}": tensor.to(dtype).contiguous() for key, tensor in start(str(checkpoint)).nets.g.state_dict().items()
    }
    save_file(state, tmp_path / "other.safetensors")
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(GantkError, match=rf"role g: tensor \S+ is of type {name}; expected float32"):
        start(str(tmp_path / "other.safetensors"))
