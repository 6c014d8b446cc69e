"""SRResNet and MSRResNet: sizes and receptive fields."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from translate.generators.srresnet import MSRResNet, SRResNet, margin, msrresnet_margin, upsampling_stages


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_any_size_and_scale(scale: int, norm: str) -> None:
    net = SRResNet(1, scale, width=4, blocks=1, norm=norm)  # type: ignore[arg-type]
    assert net(torch.zeros(2, 1, 5, 7)).shape == (2, 1, 5 * scale, 7 * scale)


def test_stages() -> None:
    assert [upsampling_stages(scale) for scale in (1, 2, 3, 4, 6, 8)] == [[], [2], [3], [2, 2], [2, 3], [2, 2, 2]]


def test_the_paper_s_network_has_the_paper_s_size() -> None:
    net = SRResNet()
    assert sum(p.numel() for p in net.parameters()) == 1_549_462 - 33 * 64  # less the biases before batch norm


@pytest.mark.parametrize("kind", [SRResNet, MSRResNet])
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_margin_is_the_receptive_field(kind: type[nn.Module], scale: int) -> None:
    """No weight is zero or negative, so each pixel within reach moves the output, and none beyond."""
    net = kind(1, scale, width=1, blocks=2).double().eval()
    for parameter in net.parameters():
        nn.init.uniform_(parameter, 0.5, 1)
    reach = (margin if kind is SRResNet else msrresnet_margin)(scale, 2)  # type: ignore[arg-type]
    side = 2 * reach + 3
    low = torch.zeros(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    middle = reach + 1
    block = slice(middle * scale, (middle + 1) * scale)
    net(low)[:, :, block, block].sum().backward()
    assert low.grad is not None
    touched = low.grad[0, 0, middle].nonzero().flatten()
    assert (touched.min().item(), touched.max().item()) == (middle - reach, middle + reach)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_msrresnet_starts_near_the_bilinear_enlargement(scale: int) -> None:
    torch.manual_seed(0)
    low = torch.rand(1, 2, 6, 5) * 2 - 1
    output = MSRResNet(2, scale, width=8, blocks=1)(low)  # type: ignore[arg-type]
    bilinear = nn.functional.interpolate(low, scale_factor=scale, mode="bilinear")
    assert (output - bilinear).abs().max() < 0.05


def test_msrresnet_has_basicsr_s_size() -> None:
    assert sum(p.numel() for p in MSRResNet().parameters()) == 1_517_571
