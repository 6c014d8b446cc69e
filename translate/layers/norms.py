"""Normalisation layers by name, and spectral normalisation of a whole network."""

from __future__ import annotations

from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

Norm = Literal["instance", "batch", "none"]
"""Instance norm has neither weights nor running statistics; batch norm has both, as in the papers' codes."""

M = TypeVar("M", bound=nn.Module)


class InstanceNorm(nn.Module):
    """Instance normalisation without weights (Ulyanov et al., 2016): each channel of each image on its own.

    (N, C, H, W) -> same shape and dtype; statistics are taken in fp32 at least, also under autocast. Raises
    ``ValueError`` for images of one pixel, whose output would be zero whatever they show.
    """

    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] * x.shape[3] == 1:
            raise ValueError(f"instance norm needs more than one pixel per channel, got shape {tuple(x.shape)}")
        # One group per channel is the same function as F.instance_norm, but: its gradient is right for a channels_last
        # gradient at batch 1 on the CPU (torch 2.15's F.instance_norm is off by 140 %), it rounds bf16 once and not
        # twice, and it is 1.8 times as fast in NCHW. Autocast would make it return fp32 on CUDA; the statistics are
        # fp32 without that.
        with torch.autocast("cpu" if x.is_meta else x.device.type, enabled=False):
            return F.group_norm(x, x.shape[1], eps=self.eps)

    def extra_repr(self) -> str:
        return f"eps={self.eps}"


def norm_layer(kind: Norm, channels: int) -> nn.Module:
    """The layer that normalises (N, channels, H, W)."""
    match kind:
        case "instance":
            return InstanceNorm()
        case "batch":
            return nn.BatchNorm2d(channels)
        case "none":
            return nn.Identity()


def has_bias(kind: Norm) -> bool:
    """Whether a convolution before this norm has a bias: not before batch norm, which brings its own."""
    return kind != "batch"


def spectrally_normalised(module: M) -> M:
    """Divide each convolution's and linear layer's weight by its largest singular value (Miyato et al., 2018).

    One power iteration per training forward, as in the paper. In place; returns the module. Initialise the weights
    before.
    """
    layers = [m for m in module.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear))]
    for layer in layers:
        parametrizations.spectral_norm(layer)
    return module
