"""Orthogonal regularisation against its formula."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from translate.layers.norms import spectrally_normalised
from translate.losses.orthogonal import orthogonal


@pytest.mark.parametrize("spectral", [False, True])
def test_products_of_different_filters(spectral: bool) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Linear(4, 2), nn.Embedding(3, 5))
    weights = [net[0].weight.detach().clone(), net[2].weight.detach().clone()]
    if spectral:
        spectrally_normalised(net)
    expected = 0.0
    for weight in weights:
        rows = weight.flatten(1)
        expected += sum((a @ b).item() ** 2 for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j)
    assert orthogonal(net).item() == pytest.approx(expected, rel=1e-5)


def test_orthogonal_filters_of_any_norm_cost_nothing() -> None:
    layer = nn.Linear(4, 3)
    nn.init.orthogonal_(layer.weight, gain=7.0)
    assert orthogonal(layer).item() == pytest.approx(0, abs=1e-3)
