import pytest
import torch
from torch import nn

from translate.layers.init import init_normal


def test_weights_are_normal_and_biases_zero():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(16, 64, 4), nn.BatchNorm2d(2000), nn.ConvTranspose2d(32, 16, 4), nn.Linear(90, 90), nn.PReLU()
    )
    assert init_normal(net) is net
    for index in (0, 2, 3):
        weight = net[index].weight
        assert weight.mean().item() == pytest.approx(0.0, abs=1e-3)
        assert weight.std().item() == pytest.approx(0.02, rel=0.05)
        assert not net[index].bias.any()
    assert net[1].weight.mean().item() == pytest.approx(1.0, abs=2e-3)
    assert net[1].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not net[1].bias.any()
    assert net[4].weight.item() == 0.25  # untouched


def test_layers_without_bias_or_weights_are_fine():
    init_normal(nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(3, affine=False)))


def test_the_spread_can_be_chosen_and_the_seed_decides():
    torch.manual_seed(1)
    first = init_normal(nn.Linear(100, 100), std=0.5).weight
    torch.manual_seed(1)
    second = init_normal(nn.Linear(100, 100), std=0.5).weight
    assert first.std().item() == pytest.approx(0.5, rel=0.05)
    # The constructor draws first, so equal seeds mean equal weights.
    assert torch.equal(first, second)
