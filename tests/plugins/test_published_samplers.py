"""Every conditional model of pictures from noise: from its file, by class, and as ONNX with conditions as inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from translate.contract import Batch, DataSpec
from translate.export.onnx import to_onnx
from translate.modelfile.model import build_nets, load_published
from translate.modelfile.write import save_published
from translate.plugins import load
from translate.sample.sampler import Sampler

SMALL: dict[str, dict[str, Any]] = {
    "cgan": {"width": 8, "latent": 5},
    "sagan": {"width": 2, "latent": 6},
    "biggan": {"width": 2, "latent": 8, "embedding": 3},
    "pggan-labelled": {"latent": 6, "base": 256, "most": 16},
}
SPEC = DataSpec(32, {"image": 3}, {"label": ("ship", "horse", "cat")})


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.slow if name == "sagan" else ()) for name in SMALL])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A model file whose classes are not in alphabetical order."""
    torch.manual_seed(0)
    task = load(request.param)(**SMALL[request.param])
    nets = build_nets(task, SPEC, ["g"])
    for parameter in nets.parameters():
        nn.init.normal_(parameter, std=0.3)
    path = tmp_path / f"{request.param}.safetensors"
    state = nets.state_dict()
    save_published(path, plugin=request.param, task=task, data=SPEC, tensors=state, weights="raw", step=1)
    return path


def test_a_class_is_the_one_that_was_asked_for(made: Path) -> None:
    published = load_published(made)
    (direction,) = published.directions
    assert direction.conditions["label"].choices == ("ship", "horse", "cat")
    assert direction.latent is not None
    z = direction.latent.draw(1).expand(3, -1)
    more = {name: c.encode(c.default)[None].expand(3) for name, c in direction.conditions.items() if c.default}
    with torch.inference_mode():
        rows = direction.run(published.nets, Batch({"z": z, "label": torch.tensor([0, 1, 2]), **more}))
        for number, name in enumerate(("ship", "horse", "cat")):
            label = direction.conditions["label"].encode(name)[None]
            one = direction.run(
                published.nets, Batch({"z": z[:1], "label": label, **{k: v[:1] for k, v in more.items()}})
            )
            torch.testing.assert_close(one[0], rows[number], rtol=1e-4, atol=1e-4)
    assert (rows[0] - rows[1]).abs().max() > 0.01


def test_shares_of_classes_are_labels_too(made: Path) -> None:
    published = load_published(made)
    sampled = {
        name: Sampler(model=published, seed=1, settings={"label": name}).sample(2) for name in SPEC.names["label"]
    }
    mixed = Sampler(model=published, seed=1, settings={"label": "cat..ship"}, steps=3).sample(2).split(2)
    torch.testing.assert_close(mixed[0], sampled["cat"], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(mixed[2], sampled["ship"], rtol=1e-4, atol=1e-4)
    assert all((mixed[1] - end).abs().max() > 1e-3 for end in (mixed[0], mixed[2]))


def test_onnx_takes_the_conditions(made: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    published, path = load_published(made), tmp_path / "net.onnx"
    (direction,) = published.directions
    assert to_onnx(published, direction, path) < 1e-3
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [entry.name for entry in session.get_inputs()] == list(direction.arguments)
