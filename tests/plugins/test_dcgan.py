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
from translate.contract import DataSpec, TaskModel
from translate.errors import UsageError
from translate.settings import Run
from translate.training.engine import Engine

SPEC = DataSpec(32, {"image": 3})
CPU = torch.device("cpu")


def engine_of(task: TaskModel, spec: DataSpec = SPEC, batch: int = 4) -> Engine:
    return Engine(task, spec, Run(batch=batch, seed=3))


def images(spec: DataSpec = SPEC, batch: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(batch, spec.channels["image"], spec.size, spec.size, generator=generator) * 2 - 1


def noises(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The latents that each run of a phase is given, in order."""
    seen: list[Tensor] = []
    add = engine._add_noise

    def spy(phase: Any, parts: Any, turn: int) -> None:
        add(phase, parts, turn)
        seen.append(parts[0]["z"].clone())

    monkeypatch.setattr(engine, "_add_noise", spy)
    return seen


def assert_same(ours: nn.Module, plain: nn.Module, tolerance: float = 1e-5) -> None:
    for (name, mine), theirs in zip(ours.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=tolerance, msg=lambda text, n=name: f"{n}: {text}")


@pytest.mark.parametrize("form", [{}, {"kernel": 5, "projection": "dense", "real_label": 0.9}])
def test_steps_equal_a_plain_loop(form: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of the public codes: D on real, D on fake, G on the same fakes judged by the updated D."""
    engine = engine_of(DCGAN(width=8, latent=12, **form))
    seen = noises(engine, monkeypatch)
    g, d = copy.deepcopy(engine.nets.g), copy.deepcopy(engine.nets.d)
    # foreach=False: the textbook loop over parameters, not the fused kernel under test.
    g_adam = torch.optim.Adam(g.parameters(), 2e-4, (0.5, 0.999), foreach=False)
    d_adam = torch.optim.Adam(d.parameters(), 2e-4, (0.5, 0.999), foreach=False)
    real = images()

    for _ in range(2):
        engine.train_step(lambda: {"image": real}, 0.0)
        values = engine.read()
        fake = g(seen[-2])
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
            "discriminator/d_real": on_real.sigmoid().mean(),
            "discriminator/d_fake": on_fake.sigmoid().mean(),
            "generator/adv": loss_g,
            "generator/d_fake": after.sigmoid().mean(),
        }
        for name, value in expected.items():
            assert values[name] == pytest.approx(value.item(), abs=1e-5), name

    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])
    assert_same(engine.nets.g, g)
    assert_same(engine.nets.d, d)


@pytest.mark.parametrize("saturating", [False, True])
def test_gan_step_equals_a_plain_loop(saturating: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = DataSpec(8, {"image": 1})
    engine = engine_of(GAN(hidden=16, units=6, latent=5, dropout=0.0, saturating=saturating), spec)
    seen = noises(engine, monkeypatch)
    g, d = copy.deepcopy(engine.nets.g), copy.deepcopy(engine.nets.d)
    g_adam = torch.optim.Adam(g.parameters(), 2e-4, (0.5, 0.999), foreach=False)
    d_adam = torch.optim.Adam(d.parameters(), 2e-4, (0.5, 0.999), foreach=False)
    real = images(spec)
    engine.train_step(lambda: {"image": real}, 0.0)

    value = d(real).sigmoid().log().mean() + (1 - d(g(seen[0]).detach()).sigmoid()).log().mean()
    (-value).backward()
    d_adam.step()
    judged = d(g(seen[1])).sigmoid()
    loss = (1 - judged).log().mean() if saturating else -judged.log().mean()
    loss.backward()
    g_adam.step()
    assert engine.read()["generator/adv"] == pytest.approx(loss.item(), abs=1e-5)
    assert seen[0].min() >= -1
    assert seen[0].max() < 1
    assert_same(engine.nets.g, g)
    assert_same(engine.nets.d, d)


def test_gan_reads_in_one_screen() -> None:
    import gantk_gan

    assert len(Path(gantk_gan.__file__).read_text(encoding="utf-8").splitlines()) < 100


FORMS: list[dict[str, Any]] = [
    {"loss": "wasserstein", "penalty": 10.0, "d_norm": "instance", "critic": 2},
    {"loss": "hinge", "spectral": True},
    {"loss": "lsgan", "real_label": 0.9},
    {"noise": "uniform", "d_norm": "none", "dropout": 0.3, "slope": 0.3, "extra": 1, "projection": "dense"},
]


@pytest.mark.parametrize("form", FORMS)
def test_forms_train(form: dict[str, Any]) -> None:
    engine = engine_of(DCGAN(width=4, latent=6, **form))
    before = copy.deepcopy(engine.nets.state_dict())
    engine.train_step(lambda: {"image": images()}, 0.0)
    engine.read()
    for role in ("g", "d"):
        assert any(not torch.equal(p, before[f"{role}.{n}"]) for n, p in engine.nets[role].named_parameters())


def test_critic_steps_draw_fresh_images_and_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(DCGAN(width=4, latent=6, critic=3, d_norm="none"))
    seen = noises(engine, monkeypatch)
    drawn: list[int] = []

    def draw() -> dict[str, Tensor]:
        drawn.append(1)
        return {"image": images()}

    engine.train_step(draw, 0.0)
    assert len(drawn) == 3
    assert len({z.sum().item() for z in seen}) == 3
    assert torch.equal(seen[-1], seen[-2])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DCGAN(loss="wasserstein"), "wasserstein: the critic needs a bound"),
        (lambda: DCGAN(loss="wasserstein", penalty=10), "penalty: batch norm mixes"),
        (lambda: DCGAN(loss="hinge", real_label=0.9), "real_label 0.9: the hinge loss has no labels"),
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
    for task in (DCGAN(width=4), GAN(hidden=8, units=4)):
        engine = engine_of(task, spec)
        (direction,) = task.directions(spec)
        assert direction.latent is not None
        columns = engine.preview({"z": direction.latent.draw(3)})
        assert columns["sample"].shape == (3, channels, size, size)
