"""`gantk train --config` accepts every config, which names no data; the three public DCGANs are what they claim."""

from __future__ import annotations

import re
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
NAMES = sorted(path.stem for path in CONFIGS.glob("*.toml"))
COMMAND = re.compile(r"^#     gantk train (\w+) --config configs/(\S+)\.toml((?: --[a-z]+ [\w/.-]+)+)$", re.MULTILINE)


def settings(name: str, **given: str) -> tuple[Any, Any, Run]:
    """What a config resolves to, with ``given`` in place of the data flags of the command line."""
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
    assert not [key for field in fields["data"] if field.is_path for key in layer.get("data", {}) if key == field.name]
    parts = {"data": source, "model": cls, "run": Run}
    values = {**layer, "data": {**layer.get("data", {}), **{key: Path(value) for key, value in given.items()}}}
    data, model, run = (build(parts[t], fields[t], values.get(t, {}), plugin) for t in ("data", "model", "run"))
    return data, model, run


@pytest.mark.parametrize("name", [name for name in NAMES if name != "demo"])
def test_the_command_above_a_config_fits_it(name: str) -> None:
    found = COMMAND.search((CONFIGS / f"{name}.toml").read_text(encoding="utf-8"))
    assert found is not None
    plugin, config, flags = found.groups()
    assert config == name
    words = flags.split()
    _, model, _ = settings(name, **{flag[2:]: value for flag, value in zip(words[::2], words[1::2], strict=True)})
    assert type(model) is plugins.load(plugin)


def test_the_demo_names_no_data() -> None:
    settings("demo", a="plain", b="striped")


@pytest.mark.parametrize("name", [name for name in NAMES if f"{name}-cpu" in NAMES])
def test_cpu_twin_is_the_same_model(name: str) -> None:
    first, twin = (COMMAND.search((CONFIGS / f"{stem}.toml").read_text("utf-8")) for stem in (name, f"{name}-cpu"))
    assert first is not None
    assert twin is not None
    assert first.group(1, 3) == twin.group(1, 3)


def dcgan(name: str) -> tuple[Nets, Any, Run]:
    _, model, run = settings(name, images="pictures")
    spec = DataSpec(run.size, {"image": 1 if "mnist" in name else 3})
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
