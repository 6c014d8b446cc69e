"""SPAN against the authors' layers written out: branches while it trains, one convolution afterwards."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from translate.generators.span import SPAN, WideConv


def branches(layer: WideConv, x: Tensor) -> Tensor:
    """As the authors train it: zeros around the picture go through the first convolution, and none after that."""
    return layer.conv(F.pad(x, (1, 1, 1, 1))) + layer.sk(x)


def test_the_merged_convolution_and_its_gradients_are_those_of_the_branches() -> None:
    torch.manual_seed(0)
    layer = WideConv(3, 5).double()
    x = torch.rand(2, 3, 7, 6, dtype=torch.float64)
    ours, theirs = layer(x), branches(layer, x)
    torch.testing.assert_close(ours, theirs)
    weights = list(layer.parameters())
    for mine, other in zip(
        torch.autograd.grad(ours.square().sum(), weights),
        torch.autograd.grad(theirs.square().sum(), weights),
        strict=True,
    ):
        torch.testing.assert_close(mine, other)


def test_the_network_is_the_authors() -> None:
    torch.manual_seed(0)
    net = SPAN(3, 2, width=6).double()
    low = torch.rand(1, 3, 9, 8, dtype=torch.float64) * 2 - 1
    mean = torch.tensor([0.4488, 0.4371, 0.4040]).double().view(1, 3, 1, 1)
    first = branches(net.conv_1, ((low + 1) / 2 - mean) * 255)
    x, kept = first, []
    for number in range(1, 7):
        block = net.get_submodule(f"block_{number}")
        inner = F.silu(branches(block.c1_r, x))  # type: ignore[arg-type]
        out = branches(block.c3_r, F.silu(branches(block.c2_r, inner)))  # type: ignore[arg-type]
        x = (out + x) * (torch.sigmoid(out) - 0.5)
        kept.append(x)
    joined = net.conv_cat(torch.cat([first, branches(net.conv_2, x), kept[0], inner], 1))
    torch.testing.assert_close(net(low), F.pixel_shuffle(net.upsampler[0](joined), 2) * 2 - 1)


def test_merged_it_has_the_papers_number_of_weights() -> None:
    state = SPAN().spandrel_state()
    merged = sum(tensor.numel() for key, tensor in state.items() if ".sk." not in key and ".conv." not in key)
    assert round(merged / 1000) == 498  # as the paper counts SPAN x4
