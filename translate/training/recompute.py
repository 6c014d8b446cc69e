"""Recomputing residual blocks in the backward pass, which needs less memory than keeping what is inside them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from translate.contract import Nets
from translate.errors import UsageError

TOWER = 2
"""From so many equal layers in a row on, a ``Sequential`` is taken as a tower of blocks."""


def recompute_towers(net: nn.Module) -> int:
    """Recompute the inside of every residual block in the backward pass instead of keeping it (Chen et al., 2016).

    Blocks are the modules of one class, with parts of their own, that fill a ``Sequential``; returns how many there
    are. Blocks with batch norm are left as they are: recomputing them would count every batch twice in the running
    statistics.
    """
    count = 0
    for module in net.modules():
        children = list(module.children()) if isinstance(module, nn.Sequential) else []
        kinds = {type(child) for child in children}
        if len(children) < TOWER or len(kinds) > 1 or nn.Sequential in kinds or not any(children[0].children()):
            continue
        for child in children:
            if not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in child.modules()):
                # An attribute of this instance, so that names in the state dict stay as they are.
                child.forward = partial(checkpoint, child.forward, use_reentrant=False)
                count += 1
    return count


def recompute_all(nets: Nets, roles: Sequence[str]) -> None:
    """Recompute the towers of the given roles. Raises ``UsageError`` where there is none."""
    if not sum(recompute_towers(nets[role]) for role in roles):
        raise UsageError("--recompute: this model has no residual blocks without batch norm to recompute")
