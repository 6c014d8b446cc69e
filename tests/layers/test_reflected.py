"""Mirrored convolutions are torch's own, bit for bit, under autocast too."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from translate.layers.reflected import ReflectedConv


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("learning", [False, True])
@pytest.mark.parametrize(("kernel", "bias"), [(3, False), (7, True)])
def test_numbers_are_those_of_torch(
    kernel: int, bias: bool, learning: bool, half: bool, layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    ours, x = ReflectedConv(5, 4, kernel, bias=bias), torch.randn(2, 5, 9, 12).contiguous(memory_format=layout)
    theirs = nn.Conv2d(5, 4, kernel, padding=kernel // 2, padding_mode="reflect", bias=bias)
    theirs.load_state_dict(ours.state_dict())
    given = x.bfloat16() if half else x
    with torch.set_grad_enabled(learning), torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
        one, two = ours(given), theirs(given)
    assert one.dtype == two.dtype == given.dtype
    assert torch.equal(one, two)


def test_padding_stays_in_half_precision() -> None:
    """What the layer is for: nothing but the result's convolution sees fp32 under autocast."""
    x = torch.randn(1, 3, 8, 8).bfloat16()
    conv = ReflectedConv(3, 3, 3).bfloat16()
    with torch.no_grad(), torch.profiler.profile() as profile, torch.autocast("cpu", torch.bfloat16):
        conv(x)
    names = {event.key for event in profile.key_averages()}
    assert "aten::reflection_pad2d" in names
    assert "aten::_to_copy" not in names
