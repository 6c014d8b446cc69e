"""`gantk train --config` accepts every config, which names no data; the three public DCGANs are what they claim."""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise
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
COMMAND = re.compile(
    r"^#     gantk train ([\w-]+) --config configs/(\S+)\.toml((?: --[a-z]+ [\w/.-]+)+)$", re.MULTILINE
)


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


def same_function(ours: nn.Module, plain: nn.Module, given: torch.Tensor) -> None:
    """Whether two networks compute the same from the same weights, in train and in eval mode."""
    for theirs, mine in zip(plain.parameters(), ours.parameters(), strict=True):
        theirs.data = mine.data.reshape(theirs.shape).clone()
    for training in (True, False):
        expected, found = plain.train(training)(given), ours.train(training)(given)
        torch.testing.assert_close(found, expected.reshape(found.shape), rtol=1e-4, atol=1e-5)
    for theirs, mine in zip(plain.buffers(), ours.buffers(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_digits_of_28_pixels_are_keras_tutorial() -> None:
    nets, model, run = dcgan("dcgan-mnist28")
    keras: dict[str, Any] = {"momentum": 0.01, "eps": 1e-3}
    up: dict[str, Any] = {"padding": 2, "bias": False}
    g = nn.Sequential(
        *(nn.Linear(100, 7 * 7 * 256, bias=False), nn.BatchNorm1d(7 * 7 * 256, **keras), nn.LeakyReLU(0.3)),
        nn.Unflatten(1, (256, 7, 7)),
        *(nn.ConvTranspose2d(256, 128, 5, 1, **up), nn.BatchNorm2d(128, **keras), nn.LeakyReLU(0.3)),
        *(nn.ConvTranspose2d(128, 64, 5, 2, output_padding=1, **up), nn.BatchNorm2d(64, **keras), nn.LeakyReLU(0.3)),
        *(nn.ConvTranspose2d(64, 1, 5, 2, output_padding=1, **up), nn.Tanh()),
    )
    d = nn.Sequential(
        *(nn.Conv2d(1, 64, 5, 2, 2), nn.LeakyReLU(0.3), nn.Conv2d(64, 128, 5, 2, 2), nn.LeakyReLU(0.3)),
        *(nn.Flatten(), nn.Linear(7 * 7 * 128, 1)),
    )
    assert [layer.p for layer in layers(nets.d, nn.Dropout)] == [0.3, 0.3]
    for layer in layers(nets.d, nn.Dropout):
        layer.p = 0.0
    same_function(nets.g, g, torch.randn(4, 100))
    same_function(nets.d, d, torch.rand(4, 1, 28, 28))
    assert (model.lr, model.betas, run.batch, run.size, model.simultaneous) == (1e-4, (0.9, 0.999), 256, 28, True)


@pytest.mark.parametrize(("name", "size", "channels"), [("dcgan-mnist32", 32, 1), ("dcgan-64", 64, 3)])
def test_pytorch_s_example(name: str, size: int, channels: int) -> None:
    nets, model, run = dcgan(name)
    widths = [512, 256, 128, 64] if size == 64 else [256, 128, 64]
    up: list[nn.Module] = [nn.Unflatten(1, (100, 1, 1)), nn.ConvTranspose2d(100, widths[0], 4, 1, 0, bias=False)]
    down: list[nn.Module] = [nn.Conv2d(channels, 64, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for wide, narrow in pairwise(widths):
        up += [nn.BatchNorm2d(wide), nn.ReLU(), nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False)]
    for wide, narrow in pairwise(widths[::-1]):
        down += [nn.Conv2d(wide, narrow, 4, 2, 1, bias=False), nn.BatchNorm2d(narrow), nn.LeakyReLU(0.2)]
    up += [nn.BatchNorm2d(64), nn.ReLU(), nn.ConvTranspose2d(64, channels, 4, 2, 1, bias=False), nn.Tanh()]
    same_function(nets.g, nn.Sequential(*up), torch.randn(4, 100))
    last = nn.Conv2d(widths[0], 1, 4, 1, 0, bias=False)
    same_function(nets.d, nn.Sequential(*down, last), torch.rand(4, channels, size, size))
    assert (model.lr, model.betas, model.latent, run.size) == (2e-4, (0.5, 0.999), 100, size)


def test_faces_of_64_pixels_are_the_tensorflow_code_s() -> None:
    """Dense projection, 5x5 kernels, biases; before a batch norm these change nothing and are left out."""
    nets, model, run = dcgan("dcgan-anime")
    up: dict[str, Any] = {"padding": 2, "output_padding": 1, "bias": False}
    g: list[nn.Module] = [nn.Linear(100, 4 * 4 * 512, bias=False), nn.Unflatten(1, (512, 4, 4))]
    d: list[nn.Module] = [nn.Conv2d(3, 64, 5, 2, 2), nn.LeakyReLU(0.2)]
    for wide, narrow in pairwise([512, 256, 128, 64]):
        g += [nn.BatchNorm2d(wide), nn.ReLU(), nn.ConvTranspose2d(wide, narrow, 5, 2, **up)]
    for wide, narrow in pairwise([64, 128, 256, 512]):
        d += [nn.Conv2d(wide, narrow, 5, 2, 2, bias=False), nn.BatchNorm2d(narrow), nn.LeakyReLU(0.2)]
    g += [nn.BatchNorm2d(64), nn.ReLU(), nn.ConvTranspose2d(64, 3, 5, 2, **up), nn.Tanh()]
    same_function(nets.g, nn.Sequential(*g), torch.randn(4, 100))
    same_function(nets.d, nn.Sequential(*d, nn.Flatten(), nn.Linear(4 * 4 * 512, 1)), torch.rand(4, 3, 64, 64))
    assert (model.real_label, run.size, run.batch) == (0.9, 64, 64)
