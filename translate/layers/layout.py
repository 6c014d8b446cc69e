"""Which memory layout networks use."""

from __future__ import annotations

import torch
from torch import nn

from translate.device import AUTOCAST
from translate.layers.norms import InstanceNorm
from translate.settings import Precision


def memory_format(
    module: nn.Module, device: torch.device, precision: Precision, *, training: bool
) -> torch.memory_format:
    """channels_last where it is right and faster: on CPU and CUDA, unless a norm forbids it (bench/layouts.py).

    On the CPU these are torch's own that normalise each image: ``instance_norm`` has wrong gradients at batch 1, and
    ``group_norm`` is slow and sums large images in plain fp32. `translate.layers.norms.InstanceNorm` goes other ways
    there, of which that with a gradient is not precise enough for fp32. On CUDA it is a group norm; channels_last was
    not measured.
    """
    against: list[type[nn.Module]] = [nn.modules.instancenorm._InstanceNorm]
    if device.type == "cpu":
        against.append(nn.GroupNorm)
    if device.type != "cpu" or (training and precision not in AUTOCAST):
        against.append(InstanceNorm)
    if device.type == "mps" or any(isinstance(m, tuple(against)) for m in module.modules()):
        return torch.contiguous_format
    return torch.channels_last
