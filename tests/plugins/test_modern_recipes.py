"""Relativistic pairing, lazy R1 and R2 and the ramp, against plain loops in fp64."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import l1_loss, softplus

from gantk_colourise import Colourise
from gantk_cyclegan import CycleGAN
from gantk_pix2pix import Pix2Pix
from gantk_pix2pixhd import Pix2PixHD
from gantk_realesrgan import RealESRGAN
from gantk_video_pix2pix import VideoPix2Pix
from plain_loop import adam, assert_same, engine_of, fp64
from translate.contract import DataSpec, TaskModel
from translate.errors import UsageError

MODERN: dict[str, Any] = {"loss": "relativistic", "r1": 3.0, "r2": 2.0, "ramp": 4}


def pictures(**sides: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        name: torch.rand(2, 3, side, side, generator=generator, dtype=torch.float64) * 2 - 1
        for name, side in sides.items()
    }


def half_slope(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    images = images.detach().clone().requires_grad_()
    score = critic(images).flatten(1).mean(1).sum()
    gradient = torch.autograd.grad(score, images, create_graph=True)[0]
    return gradient.square().flatten(1).sum(1).mean() / 2


def test_pix2pix_equals_a_plain_loop() -> None:
    with fp64():
        task = Pix2Pix(norm="instance", dropout=0.0, width=4, patch_layers=2, **MODERN)
        engine = engine_of(task, DataSpec(32, {"a": 3, "b": 3}), batch=2)
        g, d = copy.deepcopy(engine.nets.g), copy.deepcopy(engine.nets.d).requires_grad_(True)
        g_adam, d_adam = adam(g), adam(d)
        x = pictures(a=32, b=32)

        def critic(image: Tensor) -> Tensor:
            return d(torch.cat([x["a"], image], 1))  # type: ignore[no-any-return]

        for step in range(2):
            engine.train_step(lambda: dict(x), 0.0)
            g_adam.zero_grad()
            fake = g(x["a"])
            weight = (step + 1) / 4
            (weight * softplus(critic(x["b"]) - critic(fake)).mean() + 100 * l1_loss(fake, x["b"])).backward()
            g_adam.step()
            fake = fake.detach()
            d_adam.zero_grad()
            (0.5 * softplus(critic(fake) - critic(x["b"])).mean()).backward()
            d_adam.step()
            if step == 0:
                d_adam.zero_grad()
                (16 * (3 * half_slope(critic, x["b"]) + 2 * half_slope(critic, fake))).backward()
                d_adam.step()
            assert_same(engine.nets.g, g)
            assert_same(engine.nets.d, d)


def test_cyclegan_s_terms() -> None:
    with fp64():
        task = CycleGAN(width=4, blocks=1, patch_layers=2, identity=0.0, pool=0, **MODERN)
        engine = engine_of(task, DataSpec(32, {"a": 3, "b": 3}), batch=2)
        nets, x = copy.deepcopy(engine.nets), pictures(a=32, b=32)
        engine.train_step(lambda: dict(x), 0.0)
        logs = engine.read()
        fake_b = nets.g_ab(x["a"]).detach()
        expected = softplus(nets.d_b(x["b"]) - nets.d_b(fake_b)).mean() / 4
        assert logs["generators/adv_b"] == pytest.approx(expected.item(), rel=1e-6)
        expected = softplus(nets.d_b(fake_b) - nets.d_b(x["b"])).mean() / 2
        assert logs["discriminators/d_b"] == pytest.approx(expected.item(), rel=1e-6)
        assert {f"penalty/r{number}_{domain}" for number in (1, 2) for domain in "ab"} <= set(logs)


def test_realesrgan_counts_the_ramp_from_the_game_on() -> None:
    with fp64():
        task = RealESRGAN(
            generator="compact", blocks=2, width=6, d_width=4, perceptual="none", warmup=1, adversarial=0.1, **MODERN
        )
        engine = engine_of(task, DataSpec(32, {"low": 3, "high": 3}, scale=4), batch=2)
        x = pictures(low=8, high=32)
        engine.train_step(lambda: dict(x), 0.0)
        assert not [label for label in engine.read() if label.startswith("penalty")]
        nets = copy.deepcopy(engine.nets)
        engine.train_step(lambda: dict(x), 0.0)
        logs, fake = engine.read(), nets.g(x["low"]).detach()
        on_fake, on_real = nets.d(fake), nets.d(x["high"])
        assert logs["generator/adversarial"] == pytest.approx(
            0.1 / 4 * softplus(on_real - on_fake).mean().item(), rel=1e-2
        )
        assert {"penalty/r1", "penalty/r2", "discriminator/adv"} <= set(logs)


def test_pix2pixhd_has_the_penalties() -> None:
    task = Pix2PixHD(generator="global", width=4, halvings=2, blocks=1, d_width=4, scales=2, patch_layers=1, r1=1.0)
    assert [phase.name for phase in task.phases(DataSpec(32, {"label": 3, "image": 3}))][-1] == "penalty"


@pytest.mark.parametrize("penalty", ["r1", "r2"])
def test_a_penalty_refuses_batch_norm(penalty: str) -> None:
    with pytest.raises(UsageError, match="without batch norm; set norm instance or none"):
        Pix2Pix(**{penalty: 1.0})


def test_without_them_nothing_is_added() -> None:
    spec = DataSpec(32, {"a": 3, "b": 3})
    tasks: list[TaskModel] = [Pix2Pix(), CycleGAN()]
    assert [len(task.phases(spec)) for task in tasks] == [2, 2]


def test_weights_are_averaged_only_where_it_is_asked_for() -> None:
    """Models of pix2pix's family publish the last step's weights, as the paper does."""
    assert [model.recipe.ema for model in (Pix2Pix, VideoPix2Pix, Colourise, CycleGAN)] == [0.0] * 4
