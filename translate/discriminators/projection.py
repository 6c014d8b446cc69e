"""The projection discriminator."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from translate.layers.init import init_normal
from translate.layers.norms import spectrally_normalised


class ProjectionDiscriminator(nn.Module):
    """Judges a picture by itself and by how it fits its class (Miyato and Koyama, 2018, eq. 3).

    (N, C, H, W), labels (N,) int64 -> logits (N,): the features phi, summed over the map, through a linear layer, plus
    the product of phi and the class's row of an embedding. ``features``: a network to (N, ``width``, h, w).
    ``spectral``: spectral norm in all its layers and in the embedding.
    """

    def __init__(self, features: nn.Module, width: int, classes: int, *, spectral: bool = False) -> None:
        super().__init__()
        self.features = features
        self.head = init_normal(nn.Linear(width, 1))
        self.rows = nn.Embedding(classes, width)
        nn.init.normal_(self.rows.weight, 0.0, 0.02)
        if spectral:
            spectrally_normalised(self)

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        phi = self.features(image).sum((2, 3))
        return cast(Tensor, self.head(phi).flatten() + (self.rows(label) * phi).sum(1))
