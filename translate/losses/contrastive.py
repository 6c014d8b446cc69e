"""The patch-wise contrastive loss of CUT (Park et al., 2020, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize


def patch_nce(query: Tensor, key: Tensor, places: Tensor, temperature: float) -> Tensor:
    """How well each patch of the output finds its own patch of the input among the others (eq. 1 and 3).

    ``query``, ``key``: vectors (N, P, C) of the output's and the input's patches, compared by the cosine of their
    angle. ``places``: (N, P), where in the picture each patch lies; the same place twice is no negative of itself. No
    gradient passes to the keys. Returns a scalar: the mean over pictures and patches.
    """
    with torch.autocast(query.device.type, enabled=False):  # the temperature enlarges what bf16 rounds
        similar = _unit(query) @ _unit(key.detach()).transpose(1, 2) / temperature  # (N, output's P, input's P)
    twice = places[:, :, None] == places[:, None, :]
    own = torch.eye(places.shape[1], dtype=torch.bool, device=places.device)
    logits = similar.masked_fill(twice & ~own, float("-inf"))
    target = torch.arange(places.shape[1], device=places.device).expand(len(places), -1)
    return cross_entropy(logits.flatten(0, 1), target.flatten())


def _unit(vectors: Tensor) -> Tensor:
    return normalize(vectors.to(torch.promote_types(vectors.dtype, torch.float32)), dim=2)
