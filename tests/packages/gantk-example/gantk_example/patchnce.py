"""The patch-wise contrastive loss of CUT (Park et al., 2020, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def patch_nce(query: Tensor, key: Tensor, places: Tensor, temperature: float) -> Tensor:
    """Each patch of the output should know its own patch of the input among the others (eq. 1 and 3).

    ``query``, ``key``: unit vectors (N, P, C) of the output's and the input's patches. ``places``: (N, P), where in the
    image each patch lies; the same place twice is no negative of itself. No gradient passes to the keys. Returns a
    scalar: the mean over images and patches.
    """
    with torch.autocast(query.device.type, enabled=False):  # the temperature enlarges what bf16 rounds
        similar = wide(query) @ wide(key.detach()).transpose(1, 2) / temperature  # (N, output's P, input's P)
    twice = places[:, :, None] == places[:, None, :]
    own = torch.eye(places.shape[1], dtype=torch.bool, device=places.device)
    logits = similar.masked_fill(twice & ~own, float("-inf"))
    target = torch.arange(places.shape[1], device=places.device).expand(len(places), -1)
    return cross_entropy(logits.flatten(0, 1), target.flatten())


def wide(values: Tensor) -> Tensor:
    """At least fp32."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
