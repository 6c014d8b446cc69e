"""Both Wasserstein GANs against plain loops, and their schedules."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gantk_wgan import WGAN, WGANGP
from plain_loop import adam, assert_same, engine_of, fp64, given, images
from translate.contract import DataSpec, TaskModel
from translate.errors import UsageError

SPEC = DataSpec(32, {"image": 3})


def updates(task: TaskModel, step: int) -> list[tuple[str, int]]:
    """Roles and their number of updates in a step, in order."""
    return [(phase.updates[0], phase.repeat) for phase in task.phases(SPEC) if phase.due(step)]


def test_the_critic_moves_often_at_the_start_and_every_500_steps() -> None:
    task = WGAN()
    assert [updates(task, step) for step in (0, 24)] == [[("d", 100), ("g", 1)]] * 2
    assert [updates(task, step) for step in (25, 499, 501)] == [[("d", 5), ("g", 1)]] * 3
    assert updates(task, 500) == updates(task, 1000) == [("d", 5), ("d", 95), ("g", 1)]
    assert updates(WGAN(critic_early=5), 500) == [("d", 5), ("g", 1)]


def test_clipped_steps_equal_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Algorithm 1 of Arjovsky et al. (2017), with RMSprop written out."""
    with fp64():
        engine, real = engine_of(WGAN(width=4, latent=6, critic=2, critic_early=3, lr=1e-3), SPEC), images(SPEC)
        seen = given(engine, monkeypatch)
        g, d = copy.deepcopy(engine.nets.g), copy.deepcopy(engine.nets.d)
        squares = {net: [torch.zeros_like(p) for p in net.parameters()] for net in (g, d)}

        def move(net: nn.Module, loss: Tensor) -> None:
            slopes = torch.autograd.grad(loss, list(net.parameters()))
            with torch.no_grad():
                for weight, slope, square in zip(net.parameters(), slopes, squares[net], strict=True):
                    square.mul_(0.99).add_(0.01 * slope**2)
                    weight -= 1e-3 * slope / (square.sqrt() + 1e-8)
                    if net is d:
                        weight.clamp_(-0.01, 0.01)

        distances = []
        for step in (24, 25):  # three updates of the critic, then two
            engine.step = step
            engine.train_step(lambda: {"image": real}, 0.0)
            values = engine.read()
            *critics, last = seen
            seen.clear()
            distances.clear()
            for x in critics:
                on_real, on_fake = d(real).mean(), d(g(x["z"])).mean()
                distances.append((on_real - on_fake).item())
                move(d, on_fake - on_real)
            move(g, -d(g(last["z"])).mean())
            assert len(critics) == (3 if step == 24 else 2)
            name = "early" if step == 24 else "critic"
            logged = values.get(f"{name}/distance", values.get("distance"))
            assert logged == pytest.approx(sum(distances) / len(distances), abs=1e-6)
    assert max(weight.abs().max() for weight in engine.nets.d.parameters()) == 0.01
    assert_same(engine.nets.g, g)
    assert_same(engine.nets.d, d)


def plain_critic(weights: list[Tensor], x: Tensor) -> Tensor:
    """The residual critic of 32 px pictures, from its weights in order."""
    left = iter(weights)

    def conv(x: Tensor) -> Tensor:
        weight, bias = next(left), next(left)
        return F.conv2d(x, weight, bias, padding=weight.shape[2] // 2)

    for block in range(4):
        y = conv(conv(x if block == 0 else x.relu()).relu())
        x = F.avg_pool2d(y, 2) + F.avg_pool2d(conv(x), 2) if block < 2 else x + y
    weight, bias = left
    return (x.relu().mean((2, 3)) @ weight.T + bias).flatten()


def plain_generator(weights: list[Tensor], z: Tensor) -> Tensor:
    """The residual generator of 32 px pictures in train mode, from its weights in order."""
    left = iter(weights)

    def conv(x: Tensor) -> Tensor:
        weight, bias = next(left), next(left)
        return F.conv2d(x, weight, bias, padding=weight.shape[2] // 2)

    def norm(x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
        scaled = (x - mean) / (variance + 1e-5).sqrt()
        return scaled * next(left)[:, None, None] + next(left)[:, None, None]

    def double(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    first, bias = next(left), next(left)
    x = (z @ first.T + bias).reshape(len(z), -1, 4, 4)
    for _ in range(3):
        # The weights of a block: both norms, then its convolutions.
        scales = [next(left) for _ in range(4)]
        kernels = [next(left) for _ in range(6)]
        rest, left = list(left), iter([*scales[:2], *kernels[:2], *scales[2:], *kernels[2:]])
        y = conv(double(norm(x).relu()))
        y = conv(norm(y).relu())
        x = y + conv(double(x))
        left = iter(rest)
    x = norm(x).relu()
    return conv(x).tanh()


def test_penalised_steps_equal_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Algorithm 1 of Gulrajani et al. (2017), with networks and penalty written out."""
    with fp64():
        engine, real = engine_of(WGANGP(width=4, latent=6, critic=2), SPEC), images(SPEC)
        seen = given(engine, monkeypatch)
        nets = copy.deepcopy(engine.nets)
        g, d = ([*nets[role].parameters()] for role in ("g", "d"))
        g_adam, d_adam = adam(nets.g, 2e-4, (0.0, 0.9)), adam(nets.d, 2e-4, (0.0, 0.9))
        engine.train_step(lambda: {"image": real}, 0.0)
        for x in seen[:2]:
            fake = plain_generator(g, x["z"]).detach()
            share = ((x["between"] + 1) / 2)[:, None, None, None]
            mixed = (share * real + (1 - share) * fake).requires_grad_()
            (slope,) = torch.autograd.grad(plain_critic(d, mixed).sum(), mixed, create_graph=True)
            penalty = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
            d_adam.zero_grad()
            (plain_critic(d, fake).mean() - plain_critic(d, real).mean() + 10 * penalty).backward()
            d_adam.step()
        g_adam.zero_grad()
        fakes = plain_generator(g, torch.cat([seen[2]["z"], seen[2]["more"]]))
        (-plain_critic(d, fakes).mean()).backward()
        g_adam.step()
    assert_same(engine.nets.g, nets.g)
    assert_same(engine.nets.d, nets.d)


def test_the_papers_networks_for_cifar() -> None:
    nets = engine_of(WGANGP(), SPEC).nets
    widths = {role: [m.out_channels for m in nets[role].modules() if isinstance(m, nn.Conv2d)] for role in nets}
    assert widths == {"g": [128] * 9 + [3], "d": [128] * 10}
    assert not [m for m in nets.d.modules() if isinstance(m, nn.BatchNorm2d)]
    rates = [WGANGP().lr_schedule, WGANGP().lr, WGANGP().betas, WGANGP().critic, WGANGP().penalty]
    assert rates == ["linear", 2e-4, (0.0, 0.9), 5, 10.0]


@pytest.mark.parametrize("size", [16, 64])
def test_residual_networks_of_other_sizes(size: int) -> None:
    spec = DataSpec(size, {"image": 1})
    nets = engine_of(WGANGP(width=2, latent=3), spec).nets
    fakes = nets.g(torch.randn(2, 3))
    assert fakes.shape == (2, 1, size, size)
    assert nets.d(fakes).shape == (2,)


@pytest.mark.parametrize("form", [{}, {"network": "dcgan"}])
def test_a_size_that_cannot_be_is_refused(form: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="--size 40"):
        WGANGP(**form).networks(DataSpec(40, {"image": 3}))
