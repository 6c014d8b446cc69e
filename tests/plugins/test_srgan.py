"""SRGAN and ESRGAN against plain loops, and the warm-up, the rates and the messages of both."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from gantk_esrgan import ESRGAN
from gantk_srgan import SRGAN
from translate.contract import Batch, DataSpec, Networks, TaskModel
from translate.errors import UsageError
from translate.settings import Run
from translate.training.engine import Engine

SPEC = DataSpec(32, {"low": 3, "high": 3}, scale=4)
CPU = torch.device("cpu")


class WithTinyFeatures:
    """A random convolution in the place of VGG19."""

    def networks(self, data: DataSpec) -> Networks:
        return {**super().networks(data), "features": lambda: nn.Conv2d(3, 5, 3, stride=2)}  # type: ignore[misc]


class SmallSRGAN(WithTinyFeatures, SRGAN):
    pass


class SmallESRGAN(WithTinyFeatures, ESRGAN):
    pass


def srgan(**fields: Any) -> SmallSRGAN:
    return SmallSRGAN(**{"blocks": 2, "width": 8, "d_width": 8, **fields})


def esrgan(**fields: Any) -> SmallESRGAN:
    return SmallESRGAN(**{"blocks": 1, "width": 8, "growth": 4, "d_width": 8, **fields})


def engine_of(task: TaskModel) -> Engine:
    engine = Engine(task, SPEC, Run(batch=3, seed=3))
    # In fp32 the order of a sum decides where Adam sends a weight whose gradient is nearly zero.
    engine.nets.double()
    engine.averages.double()
    return engine


def batch(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "low": torch.rand(3, 3, 8, 8, generator=generator, dtype=torch.float64) * 2 - 1,
        "high": torch.rand(3, 3, 32, 32, generator=generator, dtype=torch.float64) * 2 - 1,
    }


def assert_same(ours: nn.Module, plain: nn.Module) -> None:
    for (name, mine), theirs in zip(ours.state_dict().items(), plain.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-8, msg=lambda text, n=name: f"{n}: {text}")


def adam(net: nn.Module, task: SRGAN | ESRGAN) -> torch.optim.Adam:
    return torch.optim.Adam(net.parameters(), task.lr, task.betas, foreach=False)


def one(logits: Tensor) -> Tensor:
    return bce(logits, torch.ones_like(logits))


def zero(logits: Tensor) -> Tensor:
    return bce(logits, torch.zeros_like(logits))


def srgan_content(f: nn.Module, fake: Tensor, high: Tensor) -> Tensor:
    return ((f(fake) / 12.75 - f(high) / 12.75) ** 2).mean()


def test_srgan_steps_equal_a_plain_loop() -> None:
    task = srgan(warmup=1)
    engine = engine_of(task)
    g, d, f = (copy.deepcopy(engine.nets[role]) for role in ("g", "d", "features"))
    g_adam, d_adam = adam(g, task), adam(d, task)

    x = batch(0)
    engine.train_step(lambda: batch(0), 0.0)
    g_adam.zero_grad()
    ((g(x["low"]) - x["high"]) ** 2).mean().backward()
    g_adam.step()
    assert_same(engine.nets.g, g)
    assert_same(engine.nets.d, d)  # has not moved yet

    for step in (1, 2):
        x = batch(step)
        engine.train_step(lambda x=x: x, 0.0)  # type: ignore[misc]
        g_adam.zero_grad()
        fake = g(x["low"])
        (srgan_content(f, fake, x["high"]) + 1e-3 * one(d(fake))).backward()
        g_adam.step()
        d_adam.zero_grad()
        (one(d(x["high"])) + zero(d(fake.detach()))).backward()
        d_adam.step()
        assert_same(engine.nets.g, g)
        assert_same(engine.nets.d, d)
    assert_same(engine.nets.features, f)


@pytest.mark.parametrize("game", ["paper", "basicsr"])
def test_esrgan_steps_equal_a_plain_loop(game: str) -> None:
    def seen(image: Tensor) -> Tensor:
        return (image + 1) / 2 if game == "basicsr" else image

    def mean(logits: Tensor) -> Tensor:
        return logits.mean().detach() if game == "basicsr" else logits.mean()

    task = esrgan(warmup=1, game=game)
    engine = engine_of(task)
    g, d, f = (copy.deepcopy(engine.nets[role]) for role in ("g", "d", "features"))
    g_adam, d_adam = adam(g, task), adam(d, task)

    x = batch(0)
    engine.train_step(lambda: batch(0), 0.0)
    g_adam.zero_grad()
    ((g(x["low"]) + 1) / 2 - (x["high"] + 1) / 2).abs().mean().backward()
    g_adam.param_groups[0]["lr"] = 2e-4
    g_adam.step()
    assert_same(engine.nets.g, g)
    g_adam.param_groups[0]["lr"] = 1e-4

    for step in (1, 2):
        x = batch(step)
        engine.train_step(lambda x=x: x, 0.0)  # type: ignore[misc]
        g_adam.zero_grad()
        fake = g(x["low"])
        on_real, on_fake = d(seen(x["high"])).detach(), d(seen(fake))
        adversarial = (zero(on_real - on_fake.mean()) + one(on_fake - on_real.mean())) / 2
        l1 = ((fake - x["high"]) / 2).abs().mean()
        (1e-2 * l1 + (f(fake) - f(x["high"])).abs().mean() + 5e-3 * adversarial).backward()
        g_adam.step()
        d_adam.zero_grad()
        on_real, on_fake = d(seen(x["high"])), d(seen(fake.detach()))
        ((one(on_real - mean(on_fake)) + zero(on_fake - mean(on_real))) / 2).backward()
        d_adam.step()
        assert_same(engine.nets.g, g)
        assert_same(engine.nets.d, d)


@pytest.mark.parametrize("make", [srgan, esrgan])
def test_a_warm_up_as_long_as_the_run_moves_the_generator_alone(make: Callable[..., TaskModel]) -> None:
    engine = engine_of(make(warmup=2, perceptual="none"))
    before = copy.deepcopy(engine.nets.d)
    for step in range(2):
        engine.train_step(lambda step=step: batch(step), 0.0)  # type: ignore[misc]
    assert_same(engine.nets.d, before)
    assert {label.split("/")[0] for label in engine.read()} == {"pretrain"}


@pytest.mark.parametrize("make", [srgan, esrgan])
def test_no_warm_up(make: Callable[..., TaskModel]) -> None:
    task = make(warmup=0)
    assert [phase.name for phase in task.phases(SPEC) if phase.due(0)] == ["generator", "discriminator"]


def test_without_features_the_content_is_in_the_pixels() -> None:
    task = SRGAN(perceptual="none", blocks=1, width=4)
    assert set(task.networks(SPEC)) == {"g", "d"}
    engine = engine_of(task)
    x = Batch(batch())
    terms = task.generator(engine.nets, x)
    torch.testing.assert_close(terms["content"], ((x.fake - x.high) ** 2).mean())
    sparse = ESRGAN(perceptual="none", blocks=1, width=4, growth=2)
    assert set(sparse.generator(engine_of(sparse).nets, Batch(batch()))) == {"l1", "adversarial"}


@pytest.mark.parametrize("kind", [SRGAN, ESRGAN])
def test_missing_features_are_told_of_before_the_first_step(
    kind: type[TaskModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    builders = kind().networks(SPEC)
    with pytest.raises(UsageError, match="--perceptual none"):
        builders["features"]()


@pytest.mark.parametrize(("kind", "size"), [(SRGAN, 24), (ESRGAN, 48)])
def test_patches_that_the_discriminator_cannot_judge(kind: type[TaskModel], size: int) -> None:
    with pytest.raises(UsageError, match=f"--size {size}"):
        kind().networks(DataSpec(size, {"low": 3, "high": 3}, scale=4))


def test_unshuffle_needs_patches_that_it_divides() -> None:
    with pytest.raises(UsageError, match="--unshuffle 4"):
        ESRGAN(unshuffle=4).networks(DataSpec(32, {"low": 3, "high": 3}, scale=3))


@pytest.mark.parametrize("make", [srgan, esrgan])
def test_the_direction_enlarges(make: Callable[..., TaskModel]) -> None:
    task = make()
    (direction,) = task.directions(SPEC)
    assert (direction.inputs, direction.outputs, direction.roles, direction.scale) == ("low", "high", ("g",), 4)
    nets = engine_of(task).nets
    assert direction.run(nets, Batch({"low": torch.zeros(1, 3, 5, 7, dtype=torch.float64)})).shape == (1, 3, 20, 28)
    assert list(task.preview(nets, Batch(batch()), SPEC)) == ["low", "upscale", "high"]


def test_the_papers_learning_rates() -> None:
    """Steps after 1,000,000 of pre-training at which the rate falls."""
    task, steps = SRGAN(), 1_200_000
    assert [round(task.lr_at(step / steps), 4) for step in (0, 1_099_000, 1_101_000)] == [1, 1, 0.1]
    enhanced, steps = ESRGAN(), 1_400_000
    assert enhanced.lr == 1e-4
    marks = (0, 999_000, 1_049_000, 1_051_000, 1_101_000, 1_201_000, 1_301_000)
    assert [enhanced.lr_at(step / steps) for step in marks] == [1, 1 / 16, 1, 1 / 2, 1 / 4, 1 / 8, 1 / 16]
    marks = (199_000, 201_000, 401_000, 601_000, 801_000)
    assert [enhanced.lr_at(step / steps) for step in marks] == [1, 1 / 2, 1 / 4, 1 / 8, 1 / 16]
    assert [phase.rate for phase in enhanced.phases(SPEC)] == [2.0, 1.0, 1.0]
