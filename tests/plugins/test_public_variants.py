"""What the public codes do otherwise than the papers, against plain loops in fp64."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.nn.functional import l1_loss, mse_loss

from gantk_cut import CUT
from gantk_cyclegan import CycleGAN
from gantk_pix2pix import Pix2Pix
from gantk_uvcgan import UVCGAN
from gantk_video_pix2pix import VideoPix2Pix
from plain_loop import adam, assert_same, engine_of, fp64
from translate.contract import DataSpec, TaskModel
from translate.errors import UsageError
from translate.generators.unet import UnetGenerator
from translate.layers.resample import BlurDownsample

SPEC = DataSpec(32, {"a": 3, "b": 3})
SMALL: dict[str, Any] = {"width": 4, "blocks": 1, "patch_layers": 2}


def pictures(names: str = "ab") -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.rand(2, 3, 32, 32, generator=generator, dtype=torch.float64) * 2 - 1 for name in names}


def one(logits: Tensor) -> Tensor:
    return bce(logits, torch.ones_like(logits))


def zero(logits: Tensor) -> Tensor:
    return bce(logits, torch.zeros_like(logits))


def test_pix2pix_in_the_order_of_the_pytorch_code() -> None:
    with fp64():
        engine = engine_of(Pix2Pix(first="discriminator", dropout=0.0, **SMALL), SPEC, batch=2)
        g, d = copy.deepcopy(engine.nets.g), copy.deepcopy(engine.nets.d).requires_grad_(True)
        g_adam, d_adam = adam(g), adam(d)
        x = pictures()
        for _ in range(2):
            engine.train_step(lambda: dict(x), 0.0)
            fake = g(x["a"])
            d_adam.zero_grad()
            on_fake, on_real = d(torch.cat([x["a"], fake.detach()], 1)), d(torch.cat([x["a"], x["b"]], 1))
            ((zero(on_fake) + one(on_real)) * 0.5).backward()
            d_adam.step()
            g_adam.zero_grad()
            (one(d(torch.cat([x["a"], fake], 1))) + 100 * l1_loss(fake, x["b"])).backward()
            g_adam.step()
            assert_same(engine.nets.d, d)
            assert_same(engine.nets.g, g)


@pytest.mark.parametrize(
    ("at", "depth", "blocks"),
    [
        ("torch", 8, [5, 6, 7]),
        ("torch", 6, [3, 4, 5]),
        ("pytorch", 8, [4, 5, 6]),
        ("pytorch", 6, [4]),
        ("pytorch", 5, []),
    ],
)
def test_dropout_stands_where_the_authors_codes_have_it(at: Any, depth: int, blocks: list[int]) -> None:
    """PyTorch's: ``num_downs - 5`` blocks of the greatest width, counted from the one around the innermost."""
    net = UnetGenerator(1, 1, depth=depth, width=2, norm="none", dropout_at=at)
    after: list[int] = []
    order: list[object] = []
    for level, up in enumerate(net.up):
        up.register_forward_hook(lambda *_, level=level: order.append(level))
    net.dropout.register_forward_hook(lambda *_: after.append(order[-1]))  # type: ignore[arg-type]
    net(torch.zeros(1, 1, 2**depth, 2**depth))
    assert sorted(after) == blocks


def test_cyclegan_with_weights_of_its_own_for_each_way_and_the_slope_of_summed_patches() -> None:
    """The public code's lambda_A and lambda_B, and its gradient penalty."""
    with fp64():
        task = CycleGAN(cycle=10.0, cycle_b=4.0, penalty=2.0, penalty_on="sum", pool=0, **SMALL)
        engine = engine_of(task, SPEC, batch=2)
        copies = {
            role: copy.deepcopy(engine.nets[role]).requires_grad_(True) for role in ("g_ab", "g_ba", "d_a", "d_b")
        }
        g_ab, g_ba, d_a, d_b = copies.values()
        optimizers = {role: adam(net) for role, net in copies.items()}
        x, shares = pictures(), torch.tensor([0.25, 0.75])
        engine._add_noise = lambda phase, parts, turn: parts[0].update(  # type: ignore[method-assign]
            {"between": 2 * shares - 1, "draws_a": torch.zeros(2, 2), "draws_b": torch.zeros(2, 2)}
        )
        engine.train_step(lambda: dict(x), 0.0)

        a, b = x["a"], x["b"]
        fake_b, fake_a = g_ab(a), g_ba(b)
        loss = mse_loss(d_b(fake_b), torch.ones_like(d_b(fake_b))) + mse_loss(d_a(fake_a), torch.ones_like(d_a(fake_a)))
        loss = loss + 10 * l1_loss(g_ba(fake_b), a) + 4 * l1_loss(g_ab(fake_a), b)
        (loss + 5 * l1_loss(g_ba(a), a) + 2 * l1_loss(g_ab(b), b)).backward()
        for role in ("g_ab", "g_ba"):
            optimizers[role].step()
        for role, real, fake in (("d_a", a, fake_a.detach()), ("d_b", b, fake_b.detach())):
            d = copies[role]
            d.zero_grad()
            share = shares.view(2, 1, 1, 1)
            between = (share * real + (1 - share) * fake).requires_grad_()
            logits = d(between)
            slopes = torch.autograd.grad(logits, between, torch.ones_like(logits), create_graph=True)[0]
            penalty = ((slopes.flatten(1).norm(dim=1) - 1) ** 2).mean()
            on_real, on_fake = d(real), d(fake)
            half = mse_loss(on_real, torch.ones_like(on_real)) + mse_loss(on_fake, torch.zeros_like(on_fake))
            (half / 2 + 2 * penalty).backward()
            optimizers[role].step()
        for role, plain in copies.items():
            assert_same(engine.nets[role], plain)


def test_cyclegan_can_have_cut_s_anti_aliased_discriminators() -> None:
    nets = CycleGAN(d_downsample="blur", **SMALL).networks(SPEC)
    found = [layer for layer in nets["d_a"]().modules() if isinstance(layer, BlurDownsample)]
    assert len(found) == 2
    assert not [layer for layer in nets["g_ab"]().modules() if isinstance(layer, BlurDownsample)]


@pytest.mark.parametrize(
    "task",
    [
        Pix2Pix(scales=2, norm="instance", **SMALL),
        CycleGAN(scales=2, penalty=1.0, **SMALL),
        CUT(scales=2, width=4, blocks=5, patch_layers=2, patches=4, projection=4),
        UVCGAN(scales=2, width=8, d_width=4, blocks=1, patch_layers=2),
    ],
    ids=["pix2pix", "cyclegan", "cut", "uvcgan"],
)
def test_discriminators_on_several_scales(task: TaskModel) -> None:
    engine = engine_of(task, SPEC, batch=2)
    role, channels = task.discriminators[0], 6 if isinstance(task, Pix2Pix) else 3
    assert [scale.shape[2] for scale in engine.nets[role](torch.zeros(1, channels, 32, 32))] == [6, 2]
    before = copy.deepcopy(engine.nets[role])
    engine.train_step(lambda: {name: picture.float() for name, picture in pictures().items()}, 0.0)
    assert all(value == value for value in engine.read().values())
    for ours, old in zip(engine.nets[role].parameters(), before.parameters(), strict=True):
        assert ours.dim() == 1 or not torch.equal(ours, old)


def test_a_size_too_small_for_the_coarsest_scale_is_refused() -> None:
    with pytest.raises(UsageError, match="--size 32: expected 47 or more with a discriminator of 3 layers on 2 scales"):
        Pix2Pix(scales=2, width=4).networks(SPEC)


def test_video_takes_the_other_order_too() -> None:
    task = VideoPix2Pix(first="discriminator", r1=1.0, r2=1.0, norm="instance", loss="relativistic", ramp=4, **SMALL)
    engine = engine_of(task, SPEC, batch=2)
    given = pictures(["a", "b", "a_before", "b_before"])  # type: ignore[arg-type]
    engine.train_step(lambda: {name: picture.float() for name, picture in given.items()}, 0.0)
    assert {"discriminator/adv", "generator/adv", "penalty/r1", "penalty/r2"} <= set(engine.read())
