"""Dropout as noise at inference."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
"""The layers of torch that drop activations."""


@contextmanager
def dropout_on(nets: nn.Module) -> Iterator[None]:
    """Let the dropout layers of networks in eval mode drop activations, as pix2pix draws its noise (Isola et al., 2017,
    section 2.1)."""
    layers = [layer for layer in nets.modules() if isinstance(layer, DROPOUT) and not layer.training]
    try:
        for layer in layers:
            layer.train()
        yield
    finally:
        for layer in layers:
            layer.eval()
