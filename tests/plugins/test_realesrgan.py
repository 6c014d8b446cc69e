"""Real-ESRGAN against a plain loop, its discriminator against the authors' layers, its settings and messages."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from gantk_realesrgan import Photos, RealESRGAN
from plain_loop import adam, assert_same, engine_of, fp64
from translate.contract import Batch, DataSpec, Networks
from translate.discriminators.realesrgan import UNetDiscriminator
from translate.errors import UsageError
from translate.generators.compact import CompactNet
from translate.generators.rrdb import RRDBNet
from translate.generators.span import SPAN

SPEC = DataSpec(32, {"low": 3, "high": 3}, scale=4)
RRDB: dict[str, Any] = {"blocks": 1, "width": 6, "growth": 3, "d_width": 4}
SMALL: dict[str, dict[str, Any]] = {
    "rrdb": RRDB,
    "compact": {"generator": "compact", "blocks": 2, "width": 6, "d_width": 4},
    "span": {"generator": "span", "width": 4, "d_width": 4},
}


class Five(nn.Module):
    """In the place of a VGG: five random layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(3, 2, 3, stride=stride) for stride in (1, 1, 2, 2, 3))

    def forward(self, image: Tensor) -> list[Tensor]:
        return [layer(image) for layer in self.layers]


class Small(RealESRGAN):
    def networks(self, data: DataSpec) -> Networks:
        return {**super().networks(data), "features": Five}


def batch(scale: int = 4) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    low, high = (
        torch.rand(2, 3, side, side, generator=generator, dtype=torch.float64) * 2 - 1 for side in (32 // scale, 32)
    )
    return {"low": low, "high": high}


def unsharp(image: Tensor) -> Tensor:
    """OpenCV's Gaussian of 51 taps, half of what it takes away, where that is more than 10 levels of 255."""
    taps = torch.arange(51, dtype=torch.float64) - 25
    line = torch.exp(-(taps**2) / 128)
    kernel = (torch.outer(line, line) / line.sum() ** 2).expand(3, 1, 51, 51)

    def blur(x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (25, 25, 25, 25), mode="reflect"), kernel, groups=3)

    unit = (image + 1) / 2
    residual = unit - blur(unit)
    mask = blur((residual.abs() * 255 > 10).double())
    return (mask * (unit + residual / 2).clamp(0, 1) + (1 - mask) * unit) * 2 - 1


@pytest.mark.parametrize("kind", list(SMALL))
def test_steps_equal_a_plain_loop(kind: str) -> None:
    with fp64():
        task = Small(warmup=1, **SMALL[kind])
        engine = engine_of(task, SPEC, batch=2)
        g, d, f = (copy.deepcopy(engine.nets[role]) for role in ("g", "d", "features"))
        for net in (g, d):
            net.requires_grad_(True)
        x = batch()
        target = unsharp(x["high"]) if kind == "rrdb" else x["high"]
        g_adam, d_adam = adam(g, 2e-4, (0.9, 0.99)), adam(d, 1e-4, (0.9, 0.99))

        engine.train_step(lambda: dict(x), 0.0)
        g_adam.zero_grad()
        ((g(x["low"]) + 1) / 2 - (target + 1) / 2).abs().mean().backward()
        g_adam.step()
        assert_same(engine.nets.g, g)

        g_adam.param_groups[0]["lr"] = 1e-4
        for _ in range(2):
            engine.train_step(lambda: dict(x), 0.0)
            g_adam.zero_grad()
            fake = g(x["low"])
            total = ((fake + 1) / 2 - (target + 1) / 2).abs().mean()
            for weight, ours, theirs in zip((0.1, 0.1, 1, 1, 1), f(fake), f(target), strict=True):
                total = total + weight * (ours - theirs).abs().mean()
            logits = d(fake)
            (total + 0.1 * bce(logits, torch.ones_like(logits))).backward()
            g_adam.step()
            d_adam.zero_grad()
            real = d(x["high"])
            unreal = d(fake.detach())
            (bce(real, torch.ones_like(real)) + bce(unreal, torch.zeros_like(unreal))).backward()
            d_adam.step()
            assert_same(engine.nets.g, g)
            assert_same(engine.nets.d, d)


def test_the_defaults_are_the_papers() -> None:
    task = RealESRGAN()
    assert (task.pixel, task.adversarial, task.LAYER_WEIGHTS, task.perceptual) == (1, 0.1, (0.1, 0.1, 1, 1, 1), "vgg19")
    assert (task.lr, task.betas, task.recipe.ema, task.recipe.size, task.recipe.batch) == (
        *(1e-4, (0.9, 0.99), 0.999),
        *(256, 48),
    )
    assert Photos(hr=(Path("x"),)).degradation == "real"
    pretrain, *game = task.phases(SPEC)
    assert (pretrain.stop, pretrain.rate) == (1_000_000, 2.0)
    assert {phase.start for phase in game} == {1_000_000}
    with torch.device("meta"):
        sizes = {
            kind: sum(p.numel() for p in RealESRGAN(generator=kind).networks(SPEC)["g"]().parameters())  # type: ignore[arg-type]
            for kind in SMALL
        }
    # Those of RealESRGAN_x4plus and of SRVGGNetCompact with 16 convolutions.
    assert (sizes["rrdb"], sizes["compact"]) == (16_697_987, 621_424)


def test_sharpened_targets_are_a_choice() -> None:
    x = Batch(batch())
    assert not torch.equal(RealESRGAN().target(x), x.high)
    assert RealESRGAN(sharpen=False).target(x) is x.high
    assert RealESRGAN(generator="compact").target(x) is x.high
    assert not torch.equal(RealESRGAN(generator="span", sharpen=True).target(x), x.high)


@pytest.mark.parametrize("kind", list(SMALL))
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_scales(kind: str, scale: int) -> None:
    spec = DataSpec(48, SPEC.channels, scale=scale)
    task = RealESRGAN(perceptual="none", **SMALL[kind])
    (direction,) = task.directions(spec)
    assert (direction.name, direction.scale) == ("restore" if scale == 1 else "upscale", scale)
    nets = engine_of(task, spec, batch=2).nets
    unit = direction.multiple
    assert unit == ({1: 4, 2: 2}.get(scale, 1) if kind == "rrdb" else 1)
    low = torch.zeros(1, 3, 4 * unit, 5 * unit)
    assert direction.run(nets, Batch({"low": low})).shape == (1, 3, 4 * unit * scale, 5 * unit * scale)


def test_the_discriminator_is_the_authors_u_net() -> None:
    """Layer by layer with plain convolutions, after one iteration that settles the spectral norms."""
    torch.manual_seed(0)
    net = UNetDiscriminator(3, width=4)
    assert sum(p.numel() for p in UNetDiscriminator(3).parameters()) == 4_376_897
    net.eval()
    image = torch.rand(2, 3, 16, 24)

    def lrelu(x: Tensor) -> Tensor:
        return F.leaky_relu(x, 0.2)

    def twice(x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

    weights = [layer.weight for group in (net.down, net.up, net.tail) for layer in group]
    x0 = lrelu(net.first(image))
    x1 = lrelu(F.conv2d(x0, weights[0], stride=2, padding=1))
    x2 = lrelu(F.conv2d(x1, weights[1], stride=2, padding=1))
    x3 = lrelu(F.conv2d(x2, weights[2], stride=2, padding=1))
    x4 = lrelu(F.conv2d(twice(x3), weights[3], padding=1)) + x2
    x5 = lrelu(F.conv2d(twice(x4), weights[4], padding=1)) + x1
    x6 = lrelu(F.conv2d(twice(x5), weights[5], padding=1)) + x0
    out = lrelu(F.conv2d(lrelu(F.conv2d(x6, weights[6], padding=1)), weights[7], padding=1))
    torch.testing.assert_close(net(image), net.last(out))
    assert [type(net.last), type(net.first)] == [nn.Conv2d, nn.Conv2d]  # these two have no spectral norm
    assert all(torch.linalg.matrix_norm(w.flatten(1), 2) < 1.5 for w in weights)


@pytest.mark.parametrize("kind", ["rrdb", "compact", "span"])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_margins_are_the_receptive_fields(kind: str, scale: int) -> None:
    spec = DataSpec(48, {"low": 1, "high": 1}, scale=scale)
    task = RealESRGAN(**{**SMALL[kind], "perceptual": "none", "normalise": False})
    (direction,) = task.directions(spec)
    reach = direction.margin
    assert reach is not None
    net = task.networks(spec)["g"]().double()
    for parameter in net.parameters():
        nn.init.uniform_(parameter, 0.01, 0.02)
    unit = direction.multiple
    side = (2 * reach // unit + 4) * unit
    low = torch.zeros(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    touched = []
    for middle in range(side // 2 // unit * unit, side // 2 // unit * unit + unit):
        block = slice(middle * scale, (middle + 1) * scale)
        (gradient,) = torch.autograd.grad(net(low)[:, :, block, block].sum(), low)
        found = gradient[0, 0].abs().sum(0).nonzero().flatten()
        touched += [middle - int(found.min()), int(found.max()) - middle]
    assert max(touched) == reach


def test_networks_by_name() -> None:
    kinds = {kind: type(RealESRGAN(**fields).networks(SPEC)["g"]()) for kind, fields in SMALL.items()}
    assert kinds == {"rrdb": RRDBNet, "compact": CompactNet, "span": SPAN}


def test_what_cannot_be_trained_is_refused() -> None:
    with pytest.raises(UsageError, match="--blocks: SPAN always has six"):
        RealESRGAN(generator="span", blocks=3)
    with pytest.raises(UsageError, match=r"--size 36: Real-ESRGAN's discriminator needs a multiple of 8"):
        RealESRGAN().networks(DataSpec(36, SPEC.channels, scale=4))
    with pytest.raises(UsageError, match="3 channels, not 1; expected --no-normalise"):
        RealESRGAN(generator="span").networks(DataSpec(32, {"low": 1, "high": 1}, scale=4))["g"]()
