"""DCGAN and the first GAN against plain loops, and their options."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from gantk_dcgan import DCGAN
from gantk_gan import GAN
from plain_loop import adam, assert_same, engine_of, fp64, given, images
from translate.contract import DataSpec
from translate.errors import UsageError
from translate.training.engine import Engine

SPEC = DataSpec(32, {"image": 3})


@pytest.mark.parametrize("form", [{}, {"kernel": 5, "projection": "dense", "real_label": 0.9}])
def test_steps_equal_a_plain_loop(form: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of the public codes: D on real, D on fake, G on the same fakes judged by the updated D."""
    with fp64():
        engine, real = engine_of(DCGAN(width=8, latent=12, **form), SPEC), images(SPEC)
        seen = given(engine, monkeypatch)
        g, d = copy.deepcopy(engine.nets.g), copy.deepcopy(engine.nets.d)
        g_adam, d_adam = adam(g), adam(d)
        for _ in range(2):
            engine.train_step(lambda: {"image": real}, 0.0)
            values = engine.read()
            fake = g(seen[-2]["z"])
            d_adam.zero_grad()
            on_real, on_fake = d(real), d(fake.detach())
            loss_real = bce(on_real, torch.full_like(on_real, form.get("real_label", 1.0)))
            loss_fake = bce(on_fake, torch.zeros_like(on_fake))
            (loss_real + loss_fake).backward()
            d_adam.step()
            g_adam.zero_grad()
            after = d(fake)
            loss_g = bce(after, torch.ones_like(after))
            loss_g.backward()
            g_adam.step()
            expected = {
                "discriminator/real": loss_real,
                "discriminator/fake": loss_fake,
                "discriminator/d_real": on_real.mean(),
                "discriminator/d_sign": on_real.sign().mean(),
                "discriminator/d_fake": on_fake.mean(),
                "generator/adv": loss_g,
                "generator/d_fake": after.mean(),
            }
            for name, value in expected.items():
                assert values[name] == pytest.approx(value.item(), abs=1e-5), name
    assert torch.equal(seen[0]["z"], seen[1]["z"])
    assert not torch.equal(seen[1]["z"], seen[2]["z"])
    assert_same(engine.nets.g, g)
    assert_same(engine.nets.d, d)


def test_simultaneous_players_do_not_see_each_other_s_update(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow's tutorial: both gradients from one set of fakes, then both updates."""
    with fp64():
        engine, real = engine_of(DCGAN(width=4, latent=6, simultaneous=True), SPEC), images(SPEC)
        seen = given(engine, monkeypatch)
        g, d = copy.deepcopy(engine.nets.g), copy.deepcopy(engine.nets.d)
        g_adam, d_adam = adam(g), adam(d)
        for _ in range(2):
            engine.train_step(lambda: {"image": real}, 0.0)
            fake = g(seen[-1]["z"])
            on_real, on_fake = d(real), d(fake)
            loss_g = bce(on_fake, torch.ones_like(on_fake))
            loss_d = bce(on_real, torch.ones_like(on_real)) + bce(on_fake, torch.zeros_like(on_fake))
            slopes_g = torch.autograd.grad(loss_g, list(g.parameters()), retain_graph=True)
            slopes_d = torch.autograd.grad(loss_d, list(d.parameters()))
            for net, slopes, optimizer in ((g, slopes_g, g_adam), (d, slopes_d, d_adam)):
                for weight, slope in zip(net.parameters(), slopes, strict=True):
                    weight.grad = slope
                optimizer.step()
    assert_same(engine.nets.g, g)
    assert_same(engine.nets.d, d)


def step_of_g(monkeypatch: pytest.MonkeyPatch, **form: Any) -> tuple[Engine, nn.Module, nn.Module, Tensor, Tensor]:
    """One step; returns G as it was before it, D as G's phase found it, and what they were given."""
    engine, real = engine_of(DCGAN(width=4, latent=6, **form), SPEC), images(SPEC)
    seen = given(engine, monkeypatch)
    g = copy.deepcopy(engine.nets.g)
    engine.train_step(lambda: {"image": real}, 0.25)
    return engine, g, copy.deepcopy(engine.nets.d), real, seen[-1]["z"]


def test_feature_matching_equals_a_plain_step(monkeypatch: pytest.MonkeyPatch) -> None:
    with fp64():
        engine, g, d, real, z = step_of_g(monkeypatch, feature_matching=True)
        optimizer = adam(g)
        apart = d.features(real).mean(0) - d.features(g(z)).mean(0)
        (apart**2).sum().backward()
        optimizer.step()
    assert_same(engine.nets.g, g)


@pytest.mark.parametrize("steps", [1, 3])
def test_unrolled_steps_equal_a_plain_step(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """G's gradient through the steps that D would take, written out with a D of plain layers."""
    with fp64():
        engine, g, d, real, z = step_of_g(monkeypatch, unroll=steps, unroll_lr=0.3, d_norm="none")
        optimizer = adam(g)
        weights = [weight.detach().clone().requires_grad_() for weight in d.parameters()]

        def judge(image: Tensor) -> Tensor:
            for weight, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
                image = torch.nn.functional.leaky_relu(
                    torch.nn.functional.conv2d(image, weight, bias, stride=2, padding=1), 0.2
                )
            return torch.nn.functional.conv2d(image, weights[-2], weights[-1]).flatten()

        fake = g(z)
        for _ in range(steps):
            on_real, on_fake = judge(real), judge(fake)
            loss = -(on_real.sigmoid().log().mean() + (1 - on_fake.sigmoid()).log().mean())
            slopes = torch.autograd.grad(loss, weights, create_graph=True)
            weights = [weight - 0.3 * slope for weight, slope in zip(weights, slopes, strict=True)]
        (-judge(fake).sigmoid().log().mean()).backward()
        optimizer.step()
    assert_same(engine.nets.g, g, 1e-9)


def test_instance_noise_falls_with_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with fp64():
        engine, real = engine_of(DCGAN(width=4, latent=6, instance_noise=0.4), SPEC), images(SPEC)
        seen = given(engine, monkeypatch)
        g, d = copy.deepcopy(engine.nets.g), copy.deepcopy(engine.nets.d)
        engine.train_step(lambda: {"image": real}, 0.25)
        x, optimizer = seen[0], adam(d)
        on_real, on_fake = d(real + 0.3 * x["on_real"]), d(g(x["z"]).detach() + 0.3 * x["on_fake"])
        (bce(on_real, torch.ones_like(on_real)) + bce(on_fake, torch.zeros_like(on_fake))).backward()
        optimizer.step()
    assert_same(engine.nets.d, d)
    assert not torch.equal(x["on_real"], x["on_fake"])


@pytest.mark.parametrize("form", [{}, {"saturating": True}, {"slope": 0.2, "noise": "normal"}])
def test_gan_step_equals_a_plain_loop(form: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    spec = DataSpec(8, {"image": 1})
    with fp64():
        engine = engine_of(GAN(g_widths=(16, 12), d_widths=(6, 5), latent=5, dropout=0.0, **form), spec)
        seen = given(engine, monkeypatch)
        g, d = copy.deepcopy(engine.nets.g), copy.deepcopy(engine.nets.d)
        g_adam, d_adam = adam(g), adam(d)
        real = images(spec)
        engine.train_step(lambda: {"image": real}, 0.0)
        value = d(real).sigmoid().log().mean() + (1 - d(g(seen[0]["z"]).detach()).sigmoid()).log().mean()
        (-value).backward()
        d_adam.step()
        judged = d(g(seen[1]["z"])).sigmoid()
        loss = (1 - judged).log().mean() if form.get("saturating") else -judged.log().mean()
        loss.backward()
        g_adam.step()
    assert engine.read()["generator/adv"] == pytest.approx(loss.item(), abs=1e-5)
    assert (seen[0]["z"].abs().max() < 1) == ("noise" not in form)
    assert_same(engine.nets.g, g)
    assert_same(engine.nets.d, d)


def test_gan_of_given_widths() -> None:
    spec = DataSpec(28, {"image": 1})
    nets = engine_of(GAN(g_widths=(256, 512, 1024), d_widths=(512, 256), slope=0.2), spec).nets
    widths = {role: [m.in_features for m in nets[role].modules() if isinstance(m, nn.Linear)] for role in nets}
    assert widths == {"g": [100, 256, 512, 1024], "d": [784, 512, 256]}
    assert [m.negative_slope for m in nets.modules() if isinstance(m, nn.LeakyReLU)] == [0.2] * 5


def test_gan_reads_in_one_screen() -> None:
    import gantk_gan

    assert len(Path(gantk_gan.__file__).read_text(encoding="utf-8").splitlines()) < 100


FORMS: list[dict[str, Any]] = [
    {"loss": "wasserstein", "penalty": 10.0, "d_norm": "instance", "critic": 2},
    {"loss": "hinge", "spectral": True},
    {"loss": "lsgan", "real_label": 0.9},
    {"minibatch": 3, "d_widths": (4, 8), "g_widths": (8, 4), "bn_eps": 1e-3, "bn_momentum": 0.01},
    {"noise": "uniform", "d_norm": "none", "dropout": 0.3, "slope": 0.3, "extra": 1, "projection": "dense"},
]


@pytest.mark.parametrize("form", FORMS)
def test_forms_train(form: dict[str, Any]) -> None:
    engine = engine_of(DCGAN(width=4, latent=6, **form), SPEC)
    before = copy.deepcopy(engine.nets.state_dict())
    engine.train_step(lambda: {"image": images(SPEC)}, 0.0)
    engine.read()
    for role in ("g", "d"):
        assert any(not torch.equal(p, before[f"{role}.{n}"]) for n, p in engine.nets[role].named_parameters())


def test_critic_steps_draw_fresh_images_and_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(DCGAN(width=4, latent=6, critic=3, d_norm="none"), SPEC)
    seen = given(engine, monkeypatch)
    drawn: list[int] = []

    def draw() -> dict[str, Tensor]:
        drawn.append(1)
        return {"image": images(SPEC)}

    engine.train_step(draw, 0.0)
    assert len(drawn) == 3
    assert len({x["z"].sum().item() for x in seen}) == 3
    assert torch.equal(seen[-1]["z"], seen[-2]["z"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DCGAN(loss="wasserstein"), "wasserstein: the critic needs a bound"),
        (lambda: DCGAN(loss="wasserstein", penalty=10), "penalty: batch norm mixes"),
        (lambda: DCGAN(loss="hinge", real_label=0.9), "real_label 0.9: the hinge loss has no labels"),
        (lambda: DCGAN(penalty=10, d_norm="none", minibatch=3), "penalty: minibatch discrimination mixes"),
        (lambda: DCGAN(simultaneous=True, critic=2), "expected critic 1, found 2"),
        (lambda: DCGAN(feature_matching=True, unroll=2), "feature_matching: unrolled steps"),
        (
            lambda: DCGAN(g_widths=(8, 8), d_widths=(8,) * 5).networks(DataSpec(48, {"image": 3})),
            "expected a multiple of 32, 64 or more",
        ),
        (lambda: DCGAN(g_widths=(8,), extra=1).networks(SPEC), "extra 1: expected fewer"),
        (lambda: DCGAN().networks(DataSpec(48, {"image": 3})), "size 48"),
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [28, 32, 64])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_samples_have_the_data_s_shape(size: int, channels: int) -> None:
    spec = DataSpec(size, {"image": channels})
    for task in (DCGAN(width=4), GAN(g_widths=(8, 8), d_widths=(4, 4))):
        engine = engine_of(task, spec)
        (direction,) = task.directions(spec)
        assert direction.latent is not None
        columns = engine.preview({"z": direction.latent.draw(3)})
        assert columns["sample"].shape == (3, channels, size, size)
