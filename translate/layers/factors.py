"""Directions of a latent in which pictures change most, from weights alone: SeFa (Shen and Zhou, 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from translate.conditions import number
from translate.contract import Batch, Condition

MOST = 5
"""Directions that a model offers, at most."""
FARTHEST = 20.0


def principal(weights: Sequence[Tensor], count: int) -> Tensor:
    """The ``count`` directions of length 1 that linear maps stretch most, the first most of all: (count, inputs).

    ``weights``: (outputs, inputs) of each map that the latent goes through first. The directions are eigenvectors of
    A^T A, where A is all of them one below the other (equation 5); the largest number in each is positive, so that a
    model has the same ones everywhere.
    """
    whole = torch.cat([weight.detach().flatten(1).double().cpu() for weight in weights])
    vectors = torch.linalg.eigh(whole.T @ whole).eigenvectors.T.flip(0)[:count]
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    signed: Tensor = vectors * largest.sign()
    return signed


class Factors(nn.Module):
    """How far a latent goes in each direction, (N, count), to what is added to it, (N, inputs).

    The directions are no part of a model's file: ``renew`` computes them again from the weights, once these are loaded.
    Before that they are 0.
    """

    directions: Tensor

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.register_buffer("directions", torch.zeros(count_of(inputs), inputs), persistent=False)

    def renew(self, weights: Sequence[Tensor]) -> None:
        """Take the directions from the maps' weights, (outputs, inputs) each."""
        self.directions.copy_(principal(weights, len(self.directions)))

    def forward(self, distances: Tensor) -> Tensor:
        return distances.to(self.directions.dtype) @ self.directions


def count_of(inputs: int) -> int:
    """Directions of a latent of so many numbers."""
    return min(MOST, inputs)


def edits(inputs: int) -> dict[str, Condition]:
    """The conditions ``direction1`` and so on of a latent of so many numbers."""
    text = "distance in direction {} of those that change pictures most"
    return {f"direction{k}": number(-FARTHEST, FARTHEST, text.format(k), 0) for k in range(1, count_of(inputs) + 1)}


def distances(x: Batch, conditions: Mapping[str, Condition]) -> Tensor:
    """What users chose of the conditions ``edits``, (N, count)."""
    return torch.stack([x[name] for name in conditions], 1)
