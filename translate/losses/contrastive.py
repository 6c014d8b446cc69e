"""The patch-wise contrastive loss of CUT (Park et al., 2020, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from translate.layers.projection import Projection, places_in


def contrast(
    projection: Projection,
    queries: Sequence[Tensor],
    keys: Sequence[Tensor],
    draws: Tensor,
    temperature: float,
    *,
    across: bool = False,
) -> Tensor:
    """The contrastive loss between the features of outputs and of inputs, the mean over their layers.

    ``queries``, ``keys``: one layer (N, C, H, W) each. ``draws``: (N, layers, P) uniform in [-1, 1), which patches.
    ``across``: a patch is also compared with those of the other pictures of the batch, as for a single picture, of
    which all are parts.
    """
    places = [places_in(layer, draws[:, index]) for index, layer in enumerate(keys)]
    losses = []
    layers = zip(keys, projection(queries, places), projection(keys, places), places, strict=True)
    for layer, query, key, at in layers:
        if across:
            pictures = torch.arange(len(at), device=at.device)[:, None] * layer[0, 0].numel()
            query, key, at = (part.flatten(0, 1)[None] for part in (query, key, at + pictures))
        losses.append(patch_nce(query, key, at, temperature))
    return torch.stack(losses).mean()


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
