"""The plain loops of bench/reference play the same game as the engine: from equal weights to equal weights, in fp64.

What is drawn at random depends here on its shape alone, so that both ways draw the same, in whatever order they do.
"""

from __future__ import annotations

import importlib
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from plain_loop import engine_of, fp64
from translate import plugins
from translate.contract import DataSpec
from translate.losses import contrastive

BENCH = Path(__file__).resolve().parents[2] / "bench"
DIGITS = ("zero", "one", "two")


@dataclass(frozen=True)
class Case:
    """A model at its smallest. ``roles``: what is compared, where the two do not take the same order; else all."""

    settings: Mapping[str, Any]
    spec: DataSpec
    batch: int = 3
    steps: int = 1
    roles: tuple[str, ...] = ()
    run: Mapping[str, Any] = field(default_factory=dict)


IMAGES = DataSpec(28, {"image": 3})
SMALLER, LARGER = DataSpec(16, {"image": 3}), DataSpec(32, {"image": 3})
LABELLED = DataSpec(32, {"image": 1}, {"label": DIGITS})
UNPAIRED = DataSpec(16, {"a": 3, "b": 3})
LOW_HIGH = DataSpec(32, {"low": 3, "high": 3}, scale=2)

ROOMY, GREY = DataSpec(32, {"a": 3, "b": 3}), DataSpec(32, {"a": 1, "b": 3})
FRAMES = DataSpec(32, {"a": 1, "b": 3, "a_before": 1, "b_before": 3})
HOLED = DataSpec(16, {"image": 3, "mask": 1, "cutout": 4})
DOMAINS = DataSpec(16, {"image": 3}, {"domain": DIGITS})
MAPS = DataSpec(32, {"label": 3, "instances": 1, "image": 3}, indexed=("label", "instances"))
LARGE_MAPS = DataSpec(64, {"label": 3, "image": 3}, indexed=("label",))
CAPTIONED = DataSpec(32, {"image": 3}, {"text": ("", *DIGITS)})

SMALL_SR = {"width": 4, "d_width": 4, "blocks": 1, "perceptual": "none"}
SMALL_STYLE = {"latent": 4, "width": 4, "mapping": 2, "base": 64, "most": 4, "mixing": 0.0}
CYCLE = {"width": 4, "blocks": 1, "patch_layers": 1}
CUT = {"width": 4, "blocks": 5, "patch_layers": 1, "patches": 8, "projection": 4}
GROWN = {"latent": 4, "base": 32, "most": 4}
MAPPED = {"width": 4, "d_width": 4, "scales": 2, "patch_layers": 1}
TEXT = {"features": 4, "latent": 4, "condition": 4, "width": 4, "d_width": 4, "matching": 1}
SINGLE = {"width": 1, "d_width": 1, "places": 2, "projection": 4}
STILL = {"lr_d": 1e-30}
"""A discriminator that does not move: then it does not matter which player is first."""

CASES: dict[str, Case] = {
    "gan": Case({"g_widths": (8,), "d_widths": (8,)}, SMALLER, steps=2),
    "dcgan": Case({"width": 4, "real_label": 0.9}, IMAGES, steps=2),
    "lsgan": Case({"width": 8, "latent": 8}, LARGER, steps=2),
    "wgan": Case({"width": 4, "critic": 2, "critic_early": 3}, IMAGES, steps=2),
    "wgan-gp": Case({"width": 4, "critic": 2}, SMALLER, steps=2),
    "cgan": Case({"width": 8, "latent": 8}, LABELLED, steps=2),
    "sagan": Case({"width": 4, "latent": 8}, LABELLED, steps=2),
    "biggan": Case({"width": 4, "latent": 16, "embedding": 4}, LABELLED, steps=2),
    "r3gan": Case({"width": 8, "group": 4, "blocks": 1, "latent": 8}, IMAGES, steps=2),
    "stylegan2": Case(SMALL_STYLE, IMAGES, batch=4, steps=2),
    "stylegan2 without path": Case({**SMALL_STYLE, "path": 0.0}, IMAGES, batch=4, steps=2),
    "cyclegan": Case(CYCLE, UNPAIRED, steps=2),
    "cut, generator": Case({**CUT, **STILL}, UNPAIRED, batch=2, steps=2),
    "cut, discriminator": Case(CUT, UNPAIRED, batch=2, roles=("d",)),
    "fastcut, generator": Case({**CUT, **STILL}, UNPAIRED, batch=1, steps=2),
    "sincut, generator": Case({**SINGLE, **STILL}, UNPAIRED, batch=2, steps=2),
    "sincut, discriminator": Case(SINGLE, UNPAIRED, batch=2, roles=("d",)),
    "pix2pix": Case({"width": 4, "patch_layers": 1, "first": "discriminator"}, UNPAIRED, steps=2),
    "srgan, warm-up": Case({**SMALL_SR, "warmup": 2}, LOW_HIGH, steps=2),
    "srgan, generator": Case({**SMALL_SR, **STILL, "warmup": 0}, LOW_HIGH, steps=2),
    "srgan, discriminator": Case({**SMALL_SR, "warmup": 0}, LOW_HIGH, roles=("d",)),
    "esrgan": Case({**SMALL_SR, "growth": 4, "warmup": 1}, LOW_HIGH, steps=3),
    "realesrgan": Case({**SMALL_SR, "growth": 4, "warmup": 1}, LOW_HIGH, steps=3),
    "pggan": Case({**GROWN, "fade": 2, "steady": 1}, SMALLER, batch=4, steps=4),
    "pggan-labelled": Case({**GROWN, "fade": 1, "steady": 1}, LABELLED, batch=4, steps=2),
    "uvcgan": Case({"width": 8, "d_width": 4, "blocks": 1, "patch_layers": 1, "pretrain": 1}, ROOMY, batch=2, steps=2),
    "stargan": Case({"width": 4, "blocks": 1, "d_layers": 2, "critic": 2}, DOMAINS, steps=2),
    "colourise": Case({"width": 4, "patch_layers": 1, "first": "discriminator"}, GREY, steps=2),
    "video-pix2pix": Case({"width": 4, "patch_layers": 1, "first": "discriminator"}, FRAMES, steps=2),
    "inpaint": Case({"width": 4, "d_width": 4, "d_layers": 2}, HOLED, batch=2, steps=2),
    "pix2pixhd": Case({**MAPPED, "halvings": 2, "blocks": 1, "coarse_steps": 1, "alone_steps": 1}, MAPS, steps=3),
    "spade, generator": Case({**MAPPED, **STILL, "map_width": 4}, LARGE_MAPS, steps=2),
    "spade, discriminator": Case({**MAPPED, "map_width": 4, "lr": 1e-30, "lr_d": 1e-3}, LARGE_MAPS),
    "stackgan": Case({**TEXT, "first": 1}, CAPTIONED, batch=4, steps=3),
    "attngan": Case(TEXT, CAPTIONED, batch=4, steps=2),
    "restore": Case({**SMALL_SR, "warmup": 1}, DataSpec(16, {"low": 3, "high": 3}), steps=3),
}


def by_shape(*shape: Any, **kwargs: Any) -> Tensor:
    """Uniform numbers that depend on the shape alone."""
    sides = tuple(shape[0]) if shape and not isinstance(shape[0], int) else shape
    generator = torch.Generator().manual_seed(hash((sides, 1)) % 2**32)
    return DRAW(*sides, generator=generator, dtype=kwargs.get("dtype"))


def normal_by_shape(*shape: Any, **kwargs: Any) -> Tensor:
    return (by_shape(*shape) - 0.5) * math.sqrt(12)


DRAW = torch.rand


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The loops, with chance as above."""
    monkeypatch.syspath_prepend(BENCH)
    found = importlib.import_module("reference")
    for name, value in (("rand", by_shape), ("randn", normal_by_shape)):
        monkeypatch.setattr(torch, name, value)
    monkeypatch.setattr(torch, "randn_like", lambda x: normal_by_shape(x.shape))
    monkeypatch.setattr(nn.functional, "dropout", dropout_by_shape)
    # CUT's loop draws patches without replacement and one toss for a batch, ours with it and a toss for each picture.
    monkeypatch.setattr(found.unpaired, "chosen", lambda layer, count: torch.arange(count).expand(len(layer), -1))
    monkeypatch.setattr(
        contrastive, "places_in", lambda layer, draw: torch.arange(draw.shape[1]).expand(len(layer), -1)
    )
    monkeypatch.setattr(random, "random", lambda: float(by_shape(1, 1, 1, 1)))
    return found


def first_places(layer: Tensor, count: int) -> Tensor:
    return torch.arange(count).expand(len(layer), -1)


def dropout_by_shape(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    return x * (by_shape(x.shape) >= p).to(x.dtype) / (1 - p) if training else x


def batches(spec: DataSpec, count: int) -> Iterator[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(7)
    while True:
        x = {}
        for name, channels in spec.channels.items():
            side = spec.size // spec.scale if name == "low" else spec.size
            x[name] = DRAW(count, channels, side, side, generator=generator) * 2 - 1
        for name in ("label", "domain"):
            if name in spec.names:
                x[name] = torch.arange(count) % len(spec.names[name])
        if "text" in spec.names:
            x["text"] = torch.tensor([[1, 2, 0], [3, 1, 2], [1, 2, 0], [2, 2, 1]])
        yield x


@pytest.mark.parametrize("name", list(CASES))
def test_a_loop_makes_the_steps_of_the_engine(name: str, reference: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    case, model = CASES[name], name.partition(",")[0].partition(" ")[0]
    with fp64():
        task = plugins.load(model)(**case.settings)
        engine = engine_of(task, case.spec, case.batch, size=case.spec.size, **case.run)
        loop = reference.plain_loop(model, engine)
        # Of spectral norm each forward pass makes another step, and SPADE's code has one more than ours.
        monkeypatch.setattr(parametrizations._SpectralNorm, "_power_method", lambda self, weight, steps: None)
        before = {role: [p.detach().clone() for p in net.parameters()] for role, net in loop.nets.items()}
        # Both end each of a pair of lines that are drawn: the same batches, from the first on.
        ours, theirs = batches(case.spec, case.batch), batches(case.spec, case.batch)
        for _ in range(case.steps):
            engine.train_step(lambda: next(ours), 0.0)
            loop.step(lambda: next(theirs), 0.0)
    assert set(loop.nets) == set(engine.optimizers)
    moved = False
    for role, net in loop.nets.items():
        if case.roles and role not in case.roles:
            continue
        for (key, plain), mine, start in zip(
            net.named_parameters(), engine.nets[role].parameters(), before[role], strict=True
        ):
            torch.testing.assert_close(mine, plain, rtol=0, atol=1e-6, msg=lambda t, k=key, r=role: f"{r}.{k}: {t}")
            moved |= bool((plain - start).abs().max() > 1e-5)
    assert moved
