"""Minibatch discrimination against its formula, sample by sample."""

from __future__ import annotations

import math

import pytest
import torch

from translate.layers.minibatch import MinibatchDiscrimination


def test_each_sample_is_compared_with_each_other() -> None:
    torch.manual_seed(0)
    layer = MinibatchDiscrimination(5, kernels=3, dims=2)
    features = torch.randn(4, 5)
    result = layer(features)
    assert result.shape == (4, 8)
    assert torch.equal(result[:, :5], features)
    weight = layer.maps.weight.reshape(3, 2, 5)
    for i in range(4):
        for b in range(3):
            distances = [(weight[b] @ (features[i] - features[j])).abs().sum().item() for j in range(4) if j != i]
            assert result[i, 5 + b].item() == pytest.approx(sum(math.exp(-d) for d in distances), abs=1e-5)


def test_copies_are_seen() -> None:
    layer = MinibatchDiscrimination(5, kernels=3)
    alike = layer(torch.randn(1, 5).expand(6, 5))[:, 5:]
    assert torch.allclose(alike, torch.full((6, 3), 5.0))
