"""R3GAN against its game written out in fp64, and what its networks start as."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gantk_r3gan import R3GAN
from translate.contract import Batch, DataSpec
from translate.discriminators.resnext import GroupedDiscriminator
from translate.errors import UsageError
from translate.generators.resnext import GroupedGenerator
from translate.layers.resnext import widths
from translate.modelfile.model import build_nets
from translate.settings import Run
from translate.testing import check_task_model
from translate.training.engine import Engine, seed_of

SPEC = DataSpec(16, {"image": 3})
SMALL = R3GAN(latent=5, width=8, group=4, blocks=1)


def images(step: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(step)
    return {"image": torch.rand(4, 3, 16, 16, generator=generator, dtype=torch.float64) * 2 - 1}


@pytest.fixture
def in_double() -> Iterator[None]:
    """Noise in fp64, as the networks of these tests are."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def engine_of(**settings: Any) -> Engine:
    engine = Engine(SMALL, SPEC, Run(**{"batch": 4, "size": 16, "ema": 0, "steps": 6, **settings}))
    engine.nets.double()
    return engine


def block(module: nn.Module, x: Tensor) -> Tensor:
    first, first_bias, second, second_bias, third = (p for _, p in sorted(module.named_parameters(), key=number))
    y = F.leaky_relu(torch.einsum("oi,nihw->nohw", first[:, :, 0, 0], x) + first_bias[:, None, None], 0.2)
    parts = [F.conv2d(part, weight, padding=1) for part, weight in zip(y.split(4, 1), second.split(4, 0), strict=True)]
    y = F.leaky_relu(torch.cat(parts, 1) + second_bias[:, None, None], 0.2)
    return x + torch.einsum("oi,nihw->nohw", third[:, :, 0, 0], y)


def number(named: tuple[str, nn.Parameter]) -> int:
    return int(named[0].split(".")[1])


def halved(x: Tensor) -> Tensor:
    padded = F.pad(x, (1, 1, 1, 1))
    rows = sum(t * padded[:, :, k : k + x.shape[2] - 1 : 2] for k, t in enumerate((1 / 8, 3 / 8, 3 / 8, 1 / 8)))
    assert isinstance(rows, Tensor)
    result = sum(t * rows[..., k : k + x.shape[3] - 1 : 2] for k, t in enumerate((1 / 8, 3 / 8, 3 / 8, 1 / 8)))
    assert isinstance(result, Tensor)
    return result


def doubled(x: Tensor) -> Tensor:
    """Bilinear, with zeros around."""
    wide = F.interpolate(F.pad(x, (1, 1, 1, 1)), scale_factor=2, mode="bilinear", align_corners=False)
    return wide[..., 2:-2, 2:-2]


def generated(g: nn.Module, z: Tensor) -> Tensor:
    x = g.basis * (z @ g.strengths.weight.T)[:, :, None, None]
    x = block(g.stages[0][0], x)
    for stage in g.stages[1:]:
        x = block(stage[0], doubled(x))
    return torch.einsum("oi,nihw->nohw", g.to_image.weight[:, :, 0, 0], x)


def judged(d: nn.Module, image: Tensor) -> Tensor:
    x = torch.einsum("oi,nihw->nohw", d.from_image.weight[:, :, 0, 0], image)
    x = block(d.stages[0][0], x)
    for stage in d.stages[1:]:
        x = block(stage[0], halved(x))
    return (x * d.basis.weight[:, 0]).sum((2, 3)) @ d.score.weight[0]


@pytest.mark.usefixtures("in_double")
def test_updates_equal_the_paper_written_out() -> None:
    engine = engine_of()
    g, d = copy.deepcopy(engine.nets.g), copy.deepcopy(engine.nets.d)
    g.requires_grad_(True)
    d.requires_grad_(True)
    players = {net: torch.optim.Adam(net.parameters(), 2e-4, (0.0, 0.99)) for net in (g, d)}

    def move(net: nn.Module, loss: Tensor) -> None:
        g.zero_grad()
        d.zero_grad()
        loss.backward()
        players[net].step()

    for step in range(3):
        progress = step / 6
        engine.train_step(lambda step=step: images(step), progress)
        falling = (1 + math.cos(math.pi * progress)) / 2
        for player in players.values():
            player.param_groups[0]["lr"] = 5e-5 + 15e-5 * falling
        gamma = 0.2 + 1.8 * falling
        z = {
            phase: torch.randn(4, 5, generator=torch.Generator().manual_seed(seed_of(0, step, phase, "z", 0))).double()
            for phase in ("discriminator", "generator")
        }
        real = images(step)["image"].requires_grad_(True)
        fake = generated(g, z["discriminator"]).detach().requires_grad_(True)
        on_real, on_fake = judged(d, real), judged(d, fake)
        (slope_r,) = torch.autograd.grad(on_real.sum(), real, create_graph=True)
        (slope_f,) = torch.autograd.grad(on_fake.sum(), fake, create_graph=True)
        norms = slope_r.pow(2).sum((1, 2, 3)) + slope_f.pow(2).sum((1, 2, 3))
        move(d, (torch.log1p(torch.exp(on_fake - on_real)) + gamma / 2 * norms).mean())
        relative = judged(d, generated(g, z["generator"])) - judged(d, real.detach())
        move(g, torch.log1p(torch.exp(-relative)).mean())

    for ours, theirs in ((engine.nets.g, g), (engine.nets.d, d)):
        for name, parameter in theirs.named_parameters():
            torch.testing.assert_close(ours.get_parameter(name), parameter, rtol=0, atol=1e-6, msg=name)
            assert not name.endswith("4.weight") or parameter.abs().max() > 1e-5  # blocks woke up


@pytest.mark.usefixtures("in_double")
def test_micro_batches_change_nothing() -> None:
    whole, parts = engine_of(), engine_of(accumulate=2)
    for step in range(2):
        for engine in (whole, parts):
            engine.train_step(lambda step=step: images(step), step / 6)
    for name, parameter in whole.nets.named_parameters():
        torch.testing.assert_close(parts.nets.get_parameter(name), parameter, rtol=0, atol=1e-9, msg=name)


def test_blocks_start_as_the_identity_and_keep_the_variance() -> None:
    torch.manual_seed(0)
    g = GroupedGenerator(3, 32, latent=64, width=64, blocks=2, expansion=2, group=16)
    x = torch.randn(2, 64, 4, 4)
    torch.testing.assert_close(g.stages[0](x), x, rtol=0, atol=0)
    inner = [m.weight.std().item() for m in g.stages[0][0].layers if isinstance(m, nn.Conv2d)]
    gain = math.sqrt(2 / 1.04) * 8**-0.25
    assert inner == pytest.approx([gain / 8, gain / 12, 0], rel=0.05)
    d = GroupedDiscriminator(3, 32, width=64, blocks=2, expansion=2, group=16)
    assert d(torch.randn(8, 3, 32, 32)).shape == (8, 1)


def test_channels_are_those_of_the_paper() -> None:
    assert widths([4, 8, 16, 32, 64, 128, 256], 768) == [768, 768, 768, 768, 384, 192, 96]
    g = GroupedGenerator(3, 8, latent=64, width=768, blocks=2, expansion=2, group=16)
    (grouped,) = (m for m in g.stages[0][0].layers if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3))
    assert (grouped.groups, grouped.in_channels) == (96, 1536)


def test_a_size_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(UsageError, match="--size 18: expected 4, 5, 6 or 7 times a power of two"):
        SMALL.networks(DataSpec(18, {"image": 3}))


def test_the_contract_is_kept() -> None:
    check_task_model(SMALL)


def test_a_direction_draws_pictures() -> None:
    nets = build_nets(SMALL, SPEC, ["g"])
    direction = SMALL.directions(SPEC)[0]
    assert direction.run(nets, Batch({"z": torch.randn(2, 5)})).shape == (2, 3, 16, 16)
