"""Every config is one that `gantk train --config` takes, and the three public DCGANs are what they say."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from translate import plugins
from translate.config import build, read_config
from translate.contract import DataSpec, Nets
from translate.fields import fields_of
from translate.settings import Run

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
NAMES = sorted(path.stem for path in CONFIGS.glob("*.toml") if path.stem != "demo")  # the demo's data are flags


def settings(name: str) -> tuple[Any, Any, Run]:
    path = CONFIGS / f"{name}.toml"
    plugin = tomllib.loads(path.read_text(encoding="utf-8"))["plugin"]
    cls = plugins.load(plugin)
    fields = {
        "data": fields_of(cls.source, "data"),
        "model": fields_of(cls, "model"),
        "run": fields_of(Run, "run", cls.recipe),
    }
    layer = read_config(path, fields, plugin)
    source: Any = cls.source
    parts = {"data": source, "model": cls, "run": Run}
    data, model, run = (build(parts[t], fields[t], layer.get(t, {}), plugin) for t in ("data", "model", "run"))
    return data, model, run


@pytest.mark.parametrize("name", NAMES)
def test_config_is_accepted(name: str) -> None:
    settings(name)


@pytest.mark.parametrize("name", [name for name in NAMES if f"{name}-cpu" in NAMES])
def test_cpu_twin_is_the_same_model_on_the_same_data(name: str) -> None:
    (data, model, _), (twin_data, twin, _) = settings(name), settings(f"{name}-cpu")
    assert type(data) is type(twin_data)
    assert type(model) is type(twin)


def dcgan(name: str) -> tuple[Nets, Any, Run]:
    data, model, run = settings(name)
    spec = DataSpec(run.size, {"image": 1 if "mnist" in str(data.images) else 3})
    return Nets({role: make() for role, make in model.networks(spec).items()}), model, run


def layers(net: nn.Module, *kinds: type[nn.Module]) -> list[Any]:
    return [layer for layer in net.modules() if isinstance(layer, kinds)]


def test_digits_of_28_pixels() -> None:
    nets, model, run = dcgan("dcgan-mnist28")
    assert nets.g(torch.randn(2, 100)).shape == (2, 1, 28, 28)
    assert layers(nets.g, nn.Linear)[0].weight.shape == (7 * 7 * 256, 100)
    assert {layer.kernel_size for layer in layers(nets.g, nn.ConvTranspose2d)} == {(5, 5)}
    assert [layer.p for layer in layers(nets.d, nn.Dropout)] == [0.3, 0.3]
    assert not layers(nets.d, nn.BatchNorm2d)
    assert not layers(nets.g, nn.ReLU)
    assert (model.lr, run.batch, run.size) == (1e-4, 256, 28)


def test_digits_of_32_pixels() -> None:
    nets, model, run = dcgan("dcgan-mnist32")
    convolutions = layers(nets.g, nn.ConvTranspose2d) + layers(nets.d, nn.Conv2d)
    assert {layer.kernel_size for layer in convolutions} == {(4, 4)}
    assert not layers(nets, nn.Linear)
    assert (model.lr, model.betas, model.latent, run.batch) == (2e-4, (0.5, 0.999), 100, 128)


def test_faces_of_64_pixels() -> None:
    nets, model, run = dcgan("dcgan-anime")
    assert nets.g(torch.randn(2, 100)).shape == (2, 3, 64, 64)
    assert layers(nets.g, nn.Linear)[0].weight.shape == (4 * 4 * 512, 100)
    assert {layer.kernel_size for layer in layers(nets.g, nn.ConvTranspose2d)} == {(5, 5)}
    assert (model.real_label, run.size) == (0.9, 64)
