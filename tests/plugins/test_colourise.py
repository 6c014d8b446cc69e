"""Colourise: luma that stays, what goes in, and a step against a plain loop."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from gantk_colourise import Colourise, Greyed, Tinted
from plain_loop import adam, assert_same, engine_of, fp64
from translate.contract import DataSpec
from translate.infer.levels import to_pixels

SPEC = DataSpec(32, {"a": 1, "b": 3})
SMALL: dict[str, Any] = {"width": 4, "patch_layers": 1, "dropout": 0.0}
WEIGHTS = torch.tensor([0.299, 0.587, 0.114])


class Wild(nn.Module):
    """Any chroma at all."""

    def forward(self, grey: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(3)
        return torch.rand(len(grey), 2, *grey.shape[2:], generator=generator).to(grey) * 2 - 1


def test_the_luma_of_a_result_is_the_input() -> None:
    levels = torch.arange(256, dtype=torch.float32).repeat(16).view(1, 1, 64, 64)
    grey = levels / 127.5 - 1
    colour = Tinted(Wild())(grey)
    assert colour.abs().max() <= 1 + 1e-6
    assert (colour.std(1) > 0.05).float().mean() > 0.5  # it does colour
    luma = (colour * WEIGHTS.view(1, 3, 1, 1)).sum(1, keepdim=True)
    torch.testing.assert_close(luma, grey, rtol=0, atol=1e-6)
    # And as a file, which Pillow makes grey again.
    pixels = to_pixels(colour, np.dtype(np.uint8))[0]
    again = np.asarray(Image.fromarray(pixels).convert("L")).astype(int)
    assert np.abs(again - levels[0, 0].numpy()).max() <= 1


def test_chroma_is_that_of_ycbcr() -> None:
    """Where nothing has to be made paler, Pillow finds the chroma that was given."""

    class Given(nn.Module):
        def forward(self, grey: Tensor) -> Tensor:
            return torch.tensor([0.2, -0.3]).view(1, 2, 1, 1).expand(-1, -1, 8, 8)

    pixels = to_pixels(Tinted(Given())(torch.zeros(1, 1, 8, 8)), np.dtype(np.uint8))[0]
    y, cb, cr = np.asarray(Image.fromarray(pixels).convert("YCbCr"))[0, 0].astype(float)
    assert [y, cb, cr] == pytest.approx([127.5, 128 + 0.2 * 127.5, 128 - 0.3 * 127.5], abs=1.5)


def test_the_input_is_the_luma_that_a_grey_file_would_have(tmp_path: Path) -> None:
    colours = torch.randint(0, 256, (1, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    derived = Greyed(images=(tmp_path,)).derive(colours / 127.5 - 1, torch.Generator())["a"]
    theirs = np.asarray(Image.fromarray(colours[0].permute(1, 2, 0).numpy()).convert("L"))
    ours = ((derived[0, 0] + 1) * 127.5).numpy()
    assert np.abs(ours - theirs).max() < 0.51


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_a_step_equals_a_plain_loop(norm: str) -> None:
    with fp64():
        engine = engine_of(Colourise(norm=norm, **SMALL), SPEC, batch=2)  # type: ignore[arg-type]
        generator = torch.Generator().manual_seed(0)
        b = torch.rand(2, 3, 32, 32, generator=generator) * 1.6 - 0.8
        a = (b * WEIGHTS.double().view(1, 3, 1, 1)).sum(1, keepdim=True)
        g, d = (copy.deepcopy(engine.nets[role]) for role in ("g", "d"))
        for net in (g, d):
            net.requires_grad_(True)
        moves = adam(g), adam(d)
        engine.train_step(lambda: {"a": a, "b": b}, 0.0)
        cb, cr = g.chroma(a).chunk(2, 1)
        tint = torch.cat([1.402 * cr, -(0.299 * 1.402 * cr + 0.114 * 1.772 * cb) / 0.587, 1.772 * cb], 1)
        shares = [(1 - a) / tint.clamp(min=1e-9), (1 + a) / (-tint).clamp(min=1e-9)]
        share = torch.cat([torch.where(tint > 0, shares[0], shares[1]), torch.ones_like(a)], 1).amin(1, keepdim=True)
        fake = a + share * tint
        logits = d(torch.cat([a, fake], 1))
        (bce(logits, torch.ones_like(logits)) + 100 * (fake - b).abs().mean()).backward()
        moves[0].step()
        moves[1].zero_grad()
        unreal, real = d(torch.cat([a, fake.detach()], 1)), d(torch.cat([a, b], 1))
        ((bce(unreal, torch.zeros_like(unreal)) + bce(real, torch.ones_like(real))) / 2).backward()
        moves[1].step()
        for role, net in (("g", g), ("d", d)):
            flat = [name for name, p in net.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-10]
            for name in flat:  # a bias before a norm has no gradient but rounding
                assert name.endswith("bias")
                net.get_parameter(name).data.copy_(engine.nets[role].get_parameter(name))
            assert_same(engine.nets[role], net)


def test_what_is_published() -> None:
    (direction,) = Colourise(**SMALL).directions(SPEC)
    assert (direction.name, direction.inputs, direction.outputs, direction.multiple) == ("colourise", "a", "b", 32)
