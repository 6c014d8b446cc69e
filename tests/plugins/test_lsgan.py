"""LSGAN against a plain loop, and the paper's networks."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from gantk_lsgan import LSGAN
from plain_loop import adam, assert_same, engine_of, fp64, given, images
from translate.contract import DataSpec
from translate.errors import UsageError

SPEC = DataSpec(32, {"image": 3})


def test_steps_equal_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    with fp64():
        engine, real = engine_of(LSGAN(width=4, latent=6), SPEC), images(SPEC)
        seen = given(engine, monkeypatch)
        g, d = copy.deepcopy(engine.nets.g), copy.deepcopy(engine.nets.d)
        g_adam, d_adam = adam(g, 1e-3), adam(d, 1e-3)
        for _ in range(2):
            engine.train_step(lambda: {"image": real}, 0.0)
            fake = g(seen[-1]["z"])
            d_adam.zero_grad()
            (((d(real) - 1) ** 2).mean() / 2 + (d(fake.detach()) ** 2).mean() / 2).backward()
            d_adam.step()
            g_adam.zero_grad()
            (((d(fake) - 1) ** 2).mean() / 2).backward()
            g_adam.step()
    assert_same(engine.nets.g, g)
    assert_same(engine.nets.d, d)


def test_the_papers_networks() -> None:
    spec = DataSpec(112, {"image": 3})
    nets = engine_of(LSGAN(), spec).nets
    g = [(m.out_channels, m.kernel_size[0], m.stride[0]) for m in nets.g.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert [m.weight.shape for m in nets.g.modules() if isinstance(m, nn.Linear)] == [(7 * 7 * 256, 1024)]
    widths, strides = (256, 256, 256, 256, 128, 64, 3), (2, 1, 2, 1, 2, 2, 1)
    assert g == [(width, 3, stride) for width, stride in zip(widths, strides, strict=True)]
    d = [(m.out_channels, m.kernel_size[0], m.stride[0]) for m in nets.d.modules() if isinstance(m, nn.Conv2d)]
    assert d == [(64, 5, 2), (128, 5, 2), (256, 5, 2), (512, 5, 2), (1, 7, 1)]
    assert nets.g(torch.randn(2, 1024)).shape == (2, 3, 112, 112)


def test_other_sizes_are_refused() -> None:
    with pytest.raises(UsageError, match="--size 40"):
        LSGAN().networks(DataSpec(40, {"image": 3}))
