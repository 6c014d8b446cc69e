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
        # Autocast would make group norm return fp32 on CUDA; the statistics are fp32 without that.
        with torch.autocast("cpu" if x.is_meta else x.device.type, enabled=False):
            if x.device.type != "cpu" or not is_channels_last(x):
                return self._as_groups(x)
            if not (x.requires_grad and torch.is_grad_enabled()):
                return _together([self._measured(image) for image in x.split(1)])
            if x.dtype == _precise(x):
                return self._as_groups(x.contiguous()).contiguous(memory_format=torch.channels_last)
            return _together([self._as_batch(image) for image in x.split(1)])

    def _as_groups(self, x: Tensor) -> Tensor:
        """One group per channel: the same function as F.instance_norm, but right, and faster.

        F.instance_norm's gradient for a channels_last gradient at batch 1 on the CPU is off by 140 % (torch 2.15), it
        rounds bf16 twice, and in NCHW it takes 1.8 times as long.
        """
        return F.group_norm(x, x.shape[1], eps=self.eps)

    def _measured(self, image: Tensor) -> Tensor:
        """In channels_last: without a gradient there are precise statistics, which group norm lacks there."""
        mean, variance = (moment.to(_precise(image)) for moment in moments(image))
        return F.batch_norm(image, mean, variance, eps=self.eps)

    def _as_batch(self, image: Tensor) -> Tensor:
        """In channels_last: batch norm of one image, which takes a tenth of group norm's time there.

        Its variance is off by up to 2e-4 where a channel is nearly flat: far less than bf16 rounds. Without weights in
        fp32 it would round the statistics to bf16 as well.
        """
        weight, bias = (torch.full(image.shape[1:2], value) for value in (1.0, 0.0))
        return F.batch_norm(image, None, None, weight, bias, training=True, eps=self.eps)

    def extra_repr(self) -> str:
        return f"eps={self.eps}"


STRIP = 1 << 14
"""Values per channel that are summed at once; copies of so many of every channel stay in the processor's cache."""


def is_channels_last(x: Tensor) -> bool:
    """Whether (N, C, H, W) lies in memory as (N, H, W, C), and not also as it is written."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel over batch, rows and columns, on the CPU: (N, C, H, W) -> 2 x (C,) fp64.

    Strip by strip, by sums that torch takes pairwise, or in fp32 of half precision; the strips are pooled in fp64. Mean
    and variance are right to 1e-6 of a standard deviation, at 3 megapixels too; those of half precision to 1e-4 where a
    mean is many times that, far below what the values were rounded by.
    """
    rows = max(1, STRIP // (x.shape[0] * x.shape[3]))
    moments_of = _precise_moments if x.dtype == _precise(x) else _half_moments
    parts = [moments_of(strip) for strip in x.split(rows, dim=2)]
    means, variances = (torch.stack(part).double() for part in zip(*parts, strict=True))
    shares = [strip.shape[2] / x.shape[2] for strip in x.split(rows, dim=2)]
    share = torch.tensor(shares, dtype=torch.float64)[:, None]
    pooled = (means * share).sum(0)
    return pooled, ((variances + (means - pooled).square()) * share).sum(0)


def _precise_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    mean = x.mean((0, 2, 3), keepdim=True)
    return mean.flatten(), (x - mean).square_().mean((0, 2, 3))


def _half_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Without a copy in fp32, in a third of the time. Statistics are as precise as the running ones, which are idle."""
    idle = torch.zeros(x.shape[1])
    mean, variance = torch.batch_norm_update_stats(x, idle, idle.clone(), 0.0)
    return mean, variance


def _together(images: list[Tensor]) -> Tensor:
    return images[0] if len(images) == 1 else torch.cat(images)


def _precise(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def norm_layer(kind: Norm, channels: int, momentum: float = 0.1, eps: float = 1e-5) -> nn.Module:
    """The layer that normalises (N, channels, H, W). ``momentum``, ``eps``: those of batch norm, as torch counts."""
    match kind:
        case "instance":
            return InstanceNorm()
        case "batch":
            return nn.BatchNorm2d(channels, eps=eps, momentum=momentum)
        case "none":
            return nn.Identity()


def has_bias(kind: Norm) -> bool:
    """Whether a convolution before this norm has a bias: not before batch norm, which has its own."""
    return kind != "batch"


def spectrally_normalised(module: M) -> M:
    """Divide each convolution's, linear layer's and embedding's weight by its largest singular value (Miyato et al.,
    2018).

    One power iteration per training forward, as in the paper. In place; returns the module. Initialise the weights
    before.
    """
    layers = [m for m in module.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.Embedding))]
    for layer in layers:
        parametrizations.spectral_norm(layer)
    return module
