"""The conditional GAN's discriminator of maxout units."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from translate.layers.dense import Maxout
from translate.layers.labels import one_hot


class ConditionalMaxout(nn.Module):
    """Images (N, C, H, W) of ``pixels`` values and labels (N,) int64 to logits (N,) (Mirza and Osindero, 2014, 4.1).

    The image has a maxout layer of 240 units, the one-hot label one of 50, both of 5 pieces; they meet in one of 240
    units of 4 pieces. All drop activations.
    """

    def __init__(self, pixels: int, classes: int, *, width: int = 240, dropout: float = 0.5) -> None:
        super().__init__()
        self.classes = classes
        narrow = max(1, width * 50 // 240)
        self.of_image = nn.Sequential(nn.Flatten(), Maxout(pixels, width), nn.Dropout(dropout))
        self.of_label = nn.Sequential(Maxout(classes, narrow), nn.Dropout(dropout))
        self.joint = nn.Sequential(Maxout(width + narrow, width, 4), nn.Dropout(dropout), nn.Linear(width, 1))

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        hot = one_hot(label, self.classes, image)
        logits: Tensor = self.joint(torch.cat([self.of_image(image), self.of_label(hot)], 1))
        return logits.flatten()
