"""StyleGAN2 against a loop written out in fp64: its phases, its lazy regularisation, what follows the updates."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gantk_stylegan2 import PATH_EVERY, R1_EVERY, StyleGAN2
from translate.contract import Batch, DataSpec
from translate.errors import UsageError
from translate.generators.stylegan import StyleGANGenerator, modulated, resolutions
from translate.layers.fir import down_by_two, up_by_two
from translate.layers.minibatch import with_deviation
from translate.modelfile.model import build_nets
from translate.settings import Run
from translate.testing import check_task_model
from translate.training.engine import Engine, seed_of

SPEC = DataSpec(16, {"image": 3})
SMALL = StyleGAN2(latent=6, width=8, mapping=2, base=64, most=8, group=2)


@pytest.fixture
def in_double() -> Iterator[None]:
    """Noise in fp64, as the networks of these tests are."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def engine_of(task: StyleGAN2 = SMALL, **settings: Any) -> Engine:
    engine = Engine(task, SPEC, Run(**{"batch": 4, "size": 16, "ema": 0, **settings}))
    engine.nets.double()
    return engine


def image(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"image": torch.rand(4, 3, 16, 16, generator=generator, dtype=torch.float64) * 2 - 1}


class Plain:
    """The paper's generator and game in plain functions, each image by itself, from the weights of our networks."""

    def __init__(self, engine: Engine) -> None:
        self.g, self.d = copy.deepcopy(engine.nets.g), copy.deepcopy(engine.nets.d)
        self.g.requires_grad_(True)
        self.d.requires_grad_(True)
        self.style, self.path = torch.zeros(8, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
        self.optimizers = {}
        for role, net, every in (("g", self.g, PATH_EVERY), ("d", self.d, R1_EVERY)):
            share = every / (every + 1)
            betas = (0.0, 0.99**share)
            self.optimizers[role] = torch.optim.Adam(net.parameters(), 2e-3 * share, betas)

    def draw(self, step: int, phase: str) -> dict[str, Tensor]:
        noises = {}
        for name, noise in next(p for p in SMALL.phases(SPEC) if p.name == phase).noise.items():
            generator = torch.Generator().manual_seed(seed_of(0, step, phase, name, 0))
            noises[name] = noise.draw(4, generator).double()
        return noises

    def styles(self, z: Tensor) -> Tensor:
        w = z / (z.pow(2).mean(1, keepdim=True) + 1e-8).sqrt()
        for layer in self.g.mapping.layers:
            weight = layer.weight * (0.01 / math.sqrt(layer.weight.shape[1]))
            w = F.leaky_relu(w @ weight.T + layer.bias * 0.01, 0.2) * 2**0.5
        return w

    def mixed(self, x: dict[str, Tensor]) -> Tensor:
        layers = len(self.g.synthesis.convs)
        both = self.styles(x["z"]), self.styles(x["other"])
        rows = []
        for n in range(len(x["z"])):
            mixes, place = ((x["cut"][n] + 1) / 2).tolist()
            cut = 1 + int(place * (layers - 1)) if mixes < 0.9 else layers
            rows.append(torch.stack([both[k >= cut][n] for k in range(layers)]))
        return torch.stack(rows)

    def conv(self, layer: nn.Module, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        if layer.up:
            x = up_by_two(x, margin=1)
        outputs = []
        for n in range(len(x)):
            style = w[n] @ (layer.affine.weight / math.sqrt(8)).T + layer.affine.bias
            weight = layer.weight * layer.scale * style[None, :, None, None]
            weight = weight / (weight.pow(2).sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
            outputs.append(F.conv2d(x[n : n + 1], weight, padding=0 if layer.up else 1))
        y = torch.cat(outputs) + layer.strength * noise + layer.bias[:, None, None]
        return F.leaky_relu(y, 0.2) * 2**0.5

    def synthesise(self, w: Tensor, noises: list[Tensor]) -> Tensor:
        x = self.g.synthesis.constant.repeat(len(w), 1, 1, 1)
        number, result = 0, None
        for k, to_image in enumerate(self.g.synthesis.images):
            for _ in range(2 if k else 1):
                x = self.conv(self.g.synthesis.convs[number], x, w[:, number], noises[number])
                number += 1
            style = w[:, number - 1] @ (to_image.affine.weight / math.sqrt(8)).T + to_image.affine.bias
            pixels = torch.einsum("nchw,oc,nc->nohw", x, to_image.weight[:, :, 0, 0] * to_image.scale, style)
            pixels = pixels + to_image.bias[:, None, None]
            result = pixels if result is None else up_by_two(result) + pixels
        return result

    def fakes(self, x: dict[str, Tensor]) -> Tensor:
        w = self.mixed(x)
        return self.synthesise(w, [x[f"noise_{k}"] for k in range(w.shape[1])])

    def move(self, role: str, loss: Tensor) -> None:
        optimizer = self.optimizers[role]
        for other in self.optimizers.values():
            other.zero_grad()
        loss.backward()
        optimizer.step()

    def step(self, step: int, real: Tensor) -> None:
        x = self.draw(step, "generator")
        first = self.mixed(x)[:, 0].detach().mean(0)
        self.move("g", F.softplus(-self.d(self.fakes(x))).mean())
        self.style = self.style + 0.005 * (first - self.style)
        x = self.draw(step, "discriminator")
        fakes = self.fakes(x).detach()
        self.move("d", F.softplus(-self.d(real)).mean() + F.softplus(self.d(fakes)).mean())
        if step % R1_EVERY == 0:
            given = real.clone().requires_grad_(True)
            (slope,) = torch.autograd.grad(self.d(given).sum(), given, create_graph=True)
            self.move("d", 10 / 2 * 16 * slope.pow(2).sum((1, 2, 3)).mean())
        if step % PATH_EVERY == 0:
            x = self.draw(step, "path")
            w = self.mixed(x)
            pictures = self.synthesise(w, [x[f"noise_{k}"] for k in range(w.shape[1])])
            (moves,) = torch.autograd.grad((pictures * x["towards"]).sum() / 16, w, create_graph=True)
            lengths = moves.pow(2).sum(2).mean(1).sqrt()
            self.move("g", 2 * 4 * (lengths - self.path).pow(2).mean())
            self.path = self.path + 0.01 * (lengths.detach().mean() - self.path)


@pytest.mark.usefixtures("in_double")
def test_updates_equal_the_paper_written_out() -> None:
    engine = engine_of()
    plain = Plain(engine)
    for step in range(5):
        x = image(step)
        engine.train_step(lambda x=x: dict(x), 0.0)
        plain.step(step, x["image"])
    for ours, theirs in ((engine.nets.g, plain.g), (engine.nets.d, plain.d)):
        for name, parameter in theirs.named_parameters():
            torch.testing.assert_close(ours.get_parameter(name), parameter, rtol=0, atol=1e-6, msg=name)
    torch.testing.assert_close(engine.nets.g.mapping.mean, plain.style, rtol=0, atol=1e-6)
    torch.testing.assert_close(engine.nets.paths.mean, plain.path, rtol=0, atol=1e-6)


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("settings", [{}, {"ada": True}])
def test_micro_batches_change_neither_means_nor_probability(settings: dict[str, Any]) -> None:
    whole, parts = engine_of(**settings), engine_of(accumulate=2, **settings)
    for engine in (whole, parts):
        for step in range(5):
            engine.train_step(lambda s=step: image(s), 0.0)
    torch.testing.assert_close(parts.nets.paths.mean, whole.nets.paths.mean, rtol=0, atol=1e-9)
    torch.testing.assert_close(parts.nets.g.mapping.mean, whole.nets.g.mapping.mean, rtol=0, atol=1e-9)
    if settings:
        assert parts.nets.ada.d.p == whole.nets.ada.d.p
        assert int(whole.nets.ada.d.updates) == 5  # R1 judges no scores


@pytest.mark.usefixtures("in_double")
def test_groups_that_do_not_fill_a_part_are_refused() -> None:
    with pytest.raises(UsageError, match="--group 2: expected a multiple of it"):
        engine_of(accumulate=4).train_step(lambda: image(0), 0.0)
    with pytest.raises(UsageError, match="--size 18: expected 4, 5, 6 or 7 times a power of two"):
        SMALL.networks(DataSpec(18, {"image": 3}))


def test_truncation_goes_to_the_mean_style() -> None:
    torch.manual_seed(0)
    g = StyleGANGenerator(3, 16, latent=6, width=8, mapping=2, base=64, most=8)
    g.mapping.mean.copy_(torch.randn(8))
    z = torch.randn(3, 6)
    at_mean = g(z, torch.zeros(3))
    torch.testing.assert_close(at_mean[0], at_mean[1])
    full = g.synthesis(g.styles(z))
    torch.testing.assert_close(g(z, torch.ones(3)), full)
    assert not torch.allclose(full[0], full[1])


def test_modulation_equals_weights_for_each_image() -> None:
    x, weight, style = torch.randn(2, 4, 5, 5), torch.randn(3, 4, 3, 3), torch.randn(2, 4)
    expected = []
    for n in range(2):
        own = weight * style[n, None, :, None, None]
        own = own / (own.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        expected.append(F.conv2d(x[n : n + 1], own, padding=1))
    torch.testing.assert_close(modulated(x, weight, style, padding=1), torch.cat(expected), rtol=0, atol=1e-5)


def test_resampling_keeps_means_and_sides() -> None:
    x = torch.randn(1, 2, 6, 10)
    assert up_by_two(x).shape == (1, 2, 12, 20)
    assert down_by_two(x).shape == (1, 2, 3, 5)
    flat = torch.full((1, 1, 8, 8), 0.7)
    torch.testing.assert_close(up_by_two(flat)[..., 2:-2, 2:-2], torch.full((1, 1, 12, 12), 0.7))
    torch.testing.assert_close(down_by_two(flat)[..., 1:-1, 1:-1], torch.full((1, 1, 2, 2), 0.7))


def test_the_deviation_is_of_each_group_alone() -> None:
    x = torch.randn(4, 2, 3, 3)
    planes = with_deviation(x, 2)[:, 2]
    for start in (0, 2):
        expected = (x[start : start + 2].var(0, correction=0) + 1e-8).sqrt().mean()
        torch.testing.assert_close(planes[start : start + 2], expected.expand(2, 3, 3))


@pytest.mark.parametrize(
    ("size", "sides"), [(4, [4]), (32, [4, 8, 16, 32]), (96, [6, 12, 24, 48, 96]), (28, [7, 14, 28])]
)
def test_sides_begin_at_four_to_seven(size: int, sides: list[int]) -> None:
    assert resolutions(size) == sides


@pytest.mark.parametrize("options", [{}, {"style": "adain", "noise": "off", "path": 0.0}])
def test_the_contract_is_kept(options: dict[str, Any]) -> None:
    check_task_model(replace(SMALL, group=4, **options))


def test_a_direction_reads_the_truncation() -> None:
    torch.manual_seed(1)
    nets = build_nets(SMALL, SPEC, ["g"])
    direction = SMALL.directions(SPEC)[0]
    z = torch.randn(2, 6)
    pictures = direction.run(nets, Batch({"z": z, "truncation": torch.tensor([0.0, 1.0])}))
    assert pictures.shape == (2, 3, 16, 16)
