"""RRDBNet: sizes, names, initialisation, receptive field."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from translate.generators.rrdb import RRDB, RRDBNet, margin


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_any_size_and_scale(scale: int) -> None:
    net = RRDBNet(3, scale, width=4, blocks=1, growth=2)  # type: ignore[arg-type]
    assert net(torch.zeros(1, 3, 5, 7)).shape == (1, 3, 5 * scale, 7 * scale)


def test_unshuffle_works_on_a_smaller_input() -> None:
    net = RRDBNet(3, 2, width=4, blocks=1, growth=2, unshuffle=2)
    assert net.conv_first.in_channels == 12
    assert net(torch.zeros(1, 3, 6, 8)).shape == (1, 3, 12, 16)


def test_names_and_size_are_those_of_the_public_models() -> None:
    net = RRDBNet()
    keys = set(net.state_dict())
    assert sum(p.numel() for p in net.parameters()) == 16_697_987  # as ESRGAN's and Real-ESRGAN's x4 files have
    assert {"conv_first.weight", "body.22.rdb3.conv5.bias", "conv_body.weight", "conv_up1.bias"} <= keys
    assert {"conv_up2.bias", "conv_hr.weight", "conv_last.bias"} <= keys
    assert len(keys) == 2 * (6 + 23 * 15)


def test_the_dense_block_against_the_paper_written_out() -> None:
    torch.manual_seed(0)
    block = RRDB(4, 2)
    x = torch.randn(1, 4, 5, 5)

    def dense(x: torch.Tensor, layers: nn.Module) -> torch.Tensor:
        outputs = [x]
        for number in range(1, 6):
            outputs.append(layers.get_submodule(f"conv{number}")(torch.cat(outputs, 1)))
            if number < 5:
                outputs[-1] = F.leaky_relu(outputs[-1], 0.2)
        return x + 0.2 * outputs[-1]

    torch.testing.assert_close(block(x), x + 0.2 * dense(dense(dense(x, block.rdb1), block.rdb2), block.rdb3))


def test_residual_blocks_start_small() -> None:
    torch.manual_seed(0)
    net = RRDBNet(width=16, blocks=1, growth=8)
    conv = net.body[0].get_submodule("rdb1.conv1")
    assert isinstance(conv, nn.Conv2d)
    expected = 0.1 * (2 / (1 + 0.2**2) / (16 * 9)) ** 0.5
    assert conv.weight.std().item() == pytest.approx(expected, rel=0.1)
    assert conv.bias is not None
    assert not conv.bias.any()


@pytest.mark.parametrize(("scale", "unshuffle"), [(2, 1), (3, 1), (4, 1), (8, 1), (2, 2)])
def test_margin_is_the_receptive_field(scale: int, unshuffle: int) -> None:
    net = RRDBNet(1, scale, width=1, blocks=1, growth=1, unshuffle=unshuffle).double()  # type: ignore[arg-type]
    for parameter in net.parameters():
        nn.init.uniform_(parameter, 0.5, 1)
    reach = margin(scale, 1, unshuffle)  # type: ignore[arg-type]
    side = (2 * reach + 4) // 4 * 4 + 4
    low = torch.zeros(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    found = 0
    for middle in (side // 2, side // 2 + 1):
        block = slice(middle * scale, (middle + 1) * scale)
        (grad,) = torch.autograd.grad(net(low)[:, :, block, block].sum(), low)
        touched = grad[0, 0, middle].nonzero().flatten()
        found = max(found, middle - touched.min().item(), touched.max().item() - middle)
    assert found == reach
