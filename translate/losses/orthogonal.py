"""Orthogonal regularisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def orthogonal(module: nn.Module) -> Tensor:
    """How far filters are from orthogonal, whatever their norms (Brock et al., 2019, eq. 3), without its weight beta.

    The squares of all products of two different filters, summed over convolutions and linear layers; where these are
    spectrally normalised, of the weights before it, as in the authors' PyTorch code.
    """
    layers = (m for m in module.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)))
    return torch.stack([_products(_own_weight(layer)) for layer in layers]).sum()


def _own_weight(layer: nn.Module) -> Tensor:
    """The parameter, also of a layer whose weight is computed from one."""
    return next(parameter for parameter in layer.parameters() if parameter.dim() > 1)


def _products(weight: Tensor) -> Tensor:
    rows = weight.flatten(1)
    products = rows @ rows.T
    return products.square().sum() - products.diagonal().square().sum()
