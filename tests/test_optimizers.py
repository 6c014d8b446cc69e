"""Initial weights that every model may choose from."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import nn

from translate.layers.norms import spectrally_normalised
from translate.optimizers import initialise


@pytest.mark.parametrize("kind", ["normal", "xavier", "kaiming", "orthogonal"])
def test_weights_under_spectral_norm_are_drawn_anew(kind: Literal["normal", "xavier", "kaiming", "orthogonal"]) -> None:
    plain, normed = nn.Conv2d(3, 5, 3), spectrally_normalised(nn.Conv2d(3, 5, 3))
    for net in (plain, normed):
        torch.manual_seed(1)
        initialise(net, kind)
    assert torch.equal(plain.weight, dict(normed.named_parameters())["parametrizations.weight.original"])
    assert not normed.bias.any()
