"""Moving averages of the weights of chosen roles.

Our own lines and not ``torch.optim.swa_utils.AveragedModel``, which asks the device for its counter at every update.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from translate.contract import Nets


class Averages(nn.ModuleDict):
    """For each averaged role an exponential moving average of its parameters; buffers are copied.

    Karras et al. (2018), section 4.1, sample from such an average. The decay starts low and grows, min(decay,
    (1 + step) / (10 + step)), so that the random start is soon forgotten.
    """

    def __init__(self, nets: Nets, roles: Iterable[str], decay: float) -> None:
        super().__init__({role: copy.deepcopy(nets[role]) for role in roles})
        self.decay = decay
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def update_from(self, nets: Nets, step: int) -> None:
        """Move every average towards the weights after step ``step`` (counted from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for role, averaged in self.items():
            torch._foreach_lerp_(list(averaged.parameters()), list(nets[role].parameters()), 1 - decay)
            for kept, new in zip(averaged.buffers(), nets[role].buffers(), strict=True):
                kept.copy_(new)

    @contextmanager
    def in_place_of(self, nets: Nets) -> Iterator[Nets]:
        """``nets`` in eval mode with the averaged networks in their places, for a preview."""
        modules: dict[str, nn.Module] = {**dict(nets.items()), **dict(self.items())}
        training = {role: module.training for role, module in modules.items()}
        try:
            yield Nets(modules).eval()
        finally:
            for role, module in modules.items():
                module.train(training[role])
