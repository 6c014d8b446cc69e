"""SinCUT against a plain loop whose networks are written out as the authors' code has them."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gantk_sincut import SinCUT
from plain_loop import adam, assert_same, engine_of, fp64, given
from translate.contract import DataSpec
from translate.errors import UsageError
from translate.generators.sincut import SinCUTGenerator, sincut_margin

SPEC = DataSpec(16, {"a": 3, "b": 3})
SMALL: dict[str, Any] = {"width": 1, "d_width": 1, "projection": 5, "places": 2}
TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64)
BLUR = torch.outer(TAPS, TAPS) / TAPS.sum() ** 2


def blur(x: Tensor, before: int, after: int, gain: int = 1) -> Tensor:
    x = F.pad(x, (before, after, before, after))
    return F.conv2d(x, gain * BLUR.expand(x.shape[1], 1, 4, 4), groups=x.shape[1])


def act(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2) * 2**0.5


def convolved(net: Any, name: str, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    weight, bias = net.get_parameter(f"{name}.weight"), dict(net.named_parameters()).get(f"{name}.bias")
    return F.conv2d(x, weight / math.sqrt(weight[0].numel()), bias, stride, padding)


def block(net: Any, name: str, x: Tensor, halve: bool) -> Tensor:
    """ResBlock of stylegan_networks.py: filters of two and two pixels before a stride, of one and one in the skip."""
    deep = act(convolved(net, f"{name}.first", x, padding=1))
    if not halve:
        return (act(convolved(net, f"{name}.second", deep, padding=1)) + x) / 2**0.5
    deep = act(convolved(net, f"{name}.second", blur(deep, 2, 2), stride=2))
    return (deep + convolved(net, f"{name}.shortcut", blur(x, 1, 1), stride=2)) / 2**0.5


def encode(g: Any, image: Tensor) -> list[Tensor]:
    x = act(convolved(g, "from_image", image))
    found = [block(g, "down", x, halve=True)]
    for index in range(3):
        found.append(block(g, f"encoder.{index}", found[-1], halve=False))
    return found


def generate(g: Any, image: Tensor, grain: Tensor) -> Tensor:
    x = encode(g, image)[-1]
    for index in range(3):
        x = block(g, f"decoder.{index}", x, halve=False)
    weight = g.up.weight / math.sqrt(g.up.weight[0].numel())
    weight = weight * torch.rsqrt(weight.square().sum((1, 2, 3), keepdim=True) + 1e-8)
    # A convolution after the filter is a transposed one of the mirrored kernel before it.
    x = F.conv_transpose2d(x, weight.flip(2, 3).transpose(0, 1), stride=2)
    x = act(blur(x, 1, 1, gain=4) + g.up.strength * grain + g.up.bias[:, None, None])
    return act(convolved(g, "to_image", x))


def judge(d: Any, image: Tensor) -> Tensor:
    x = act(convolved(d, "from_image", image))
    for index in range(len(d.blocks)):
        x = block(d, f"blocks.{index}", x, halve=True)
    x = act(convolved(d, "last", x, padding=1)).flatten(1)
    x = act(F.linear(x, d.hidden.weight / math.sqrt(x.shape[1]), d.hidden.bias))
    return F.linear(x, d.score.weight / math.sqrt(x.shape[1]), d.score.bias)


def contrastive(g: Any, f: Any, before: Tensor, after: Tensor, draws: Tensor) -> Tensor:
    """Each place of every patch against those of the whole batch, but not against itself drawn once more."""
    total = torch.zeros((), dtype=torch.float64)
    old, new = encode(g, before), encode(g, after)
    for index, (key, query) in enumerate(zip((before, old[0], old[2]), (after, new[0], new[2]), strict=True)):
        pixels = query.shape[2] * query.shape[3]
        at = [[int((u + 1) / 2 * pixels) for u in row] for row in draws[:, index].tolist()]
        vectors = [
            F.normalize(
                torch.cat([f.heads[index](part.flatten(1).t()[row]) for part, row in zip(layer, at, strict=True)])
            )
            for layer in (query, key)
        ]
        logits = vectors[0] @ vectors[1].detach().t() / 0.07
        names = [(sample, place) for sample, row in enumerate(at) for place in row]
        for one, other in ((i, j) for i in range(len(names)) for j in range(len(names)) if i != j):
            if names[one] == names[other]:
                logits[one, other] = -torch.inf
        total = total + F.cross_entropy(logits, torch.arange(len(logits))) / 3
    return total


def test_a_step_equals_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    with fp64():
        engine = engine_of(SinCUT(**SMALL), SPEC, batch=3)
        generator = torch.Generator().manual_seed(0)
        a, b = torch.rand(2, 3, 3, 16, 16, generator=generator) * 2 - 1
        for net in (engine.nets.g, engine.nets.d):
            for parameter in net.parameters():
                with torch.no_grad():  # biases and the strength of noise start at 0, which would hide them
                    parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        seen = given(engine, monkeypatch)
        g, f, d = (copy.deepcopy(engine.nets[role]) for role in ("g", "f", "d"))
        for net in (g, f, d):
            net.requires_grad_(True)
        engine.train_step(lambda: {"a": a, "b": b}, 0.0)
        grain, drawn = seen[0]["grain"], seen[0]["drawn"]
        moves = [adam(net, 2e-3, (0.0, 0.99)) for net in (g, f, d)]
        fake, same = generate(g, a, grain[:, :1]), generate(g, b, grain[:, 1:])
        total = F.softplus(-judge(d, fake)).mean() + (same - b).abs().mean()
        total = total + 2 * (contrastive(g, f, a, fake, drawn[:, 0]) + contrastive(g, f, b, same, drawn[:, 1]))
        total.backward()
        moves[0].step()
        moves[1].step()
        moves[2].zero_grad()
        real = b.clone().requires_grad_()
        score = judge(d, real)
        slope = torch.autograd.grad(score.sum(), real, create_graph=True)[0].square().sum((1, 2, 3)).mean() / 2
        (0.5 * (F.softplus(-score).mean() + F.softplus(judge(d, fake.detach())).mean()) + slope).backward()
        moves[2].step()
        for role, net in (("g", g), ("f", f), ("d", d)):
            assert_same(engine.nets[role], net)


def test_the_defaults_and_channels_are_those_of_the_authors_code() -> None:
    task = SinCUT()
    assert (task.lr, task.betas, task.nce, task.identity, task.r1) == (2e-3, (0.0, 0.99), 4.0, 1.0, 1.0)
    assert (task.recipe.batch, task.recipe.size, task.recipe.steps) == (16, 64, 16 * 100_000 // 16)
    nets = {role: make() for role, make in task.networks(DataSpec(64, {"a": 3, "b": 3})).items()}
    channels = [
        layer.weight.shape[0]
        for layer in nets["g"].modules()
        if isinstance(layer, nn.Module) and hasattr(layer, "scale")
    ]
    assert set(channels) == {80, 160, 3}
    assert [block.second.weight.shape[0] for block in nets["d"].blocks] == [64, 128, 256, 384]  # type: ignore[union-attr]


@pytest.mark.parametrize("place", [30, 31])
def test_the_margin_is_what_a_pixel_depends_on(place: int) -> None:
    torch.manual_seed(0)
    net = SinCUTGenerator(1, 16, 1)
    image = torch.rand(1, 1, 62, 62, requires_grad=True)
    net(image)[0, 0, place, 31].backward()
    assert image.grad is not None
    rows = image.grad[0, 0].abs().sum(1).nonzero().flatten()
    assert max(place - int(rows.min()), int(rows.max()) - place) <= sincut_margin() <= 31
    assert max(place - int(rows.min()), int(rows.max()) - place) >= sincut_margin() - 2


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (DataSpec(64, {"a": 1, "b": 3}), "the domains have 1 and 3 channels"),
        (DataSpec(72, {"a": 3, "b": 3}), "--size 72"),
    ],
)
def test_what_cannot_be_trained_is_refused(spec: DataSpec, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SinCUT().networks(spec)
