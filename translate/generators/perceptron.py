"""The conditional GAN's generator of perceptrons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from translate.layers.labels import one_hot


class ConditionalPerceptron(nn.Module):
    """Latents (N, latent) and labels (N,) int64 to images (N, \\*shape) in [-1, 1] (Mirza and Osindero, 2014, 4.1).

    Latents and one-hot labels have a hidden layer each, 200 and 1000 units wide, before they meet in one of 1200; all
    are rectified and drop activations. The paper's sigmoid is a tanh, stretched to [-1, 1].
    """

    def __init__(self, latent: int, classes: int, shape: Sequence[int], *, width: int = 200, dropout: float = 0.5):
        super().__init__()
        self.classes = classes
        self.of_latent = nn.Sequential(nn.Linear(latent, width), nn.ReLU(), nn.Dropout(dropout))
        self.of_label = nn.Sequential(nn.Linear(classes, 5 * width), nn.ReLU(), nn.Dropout(dropout))
        self.joint = nn.Sequential(
            *(nn.Linear(6 * width, 6 * width), nn.ReLU(), nn.Dropout(dropout)),
            *(nn.Linear(6 * width, math.prod(shape)), nn.Tanh(), nn.Unflatten(1, tuple(shape))),
        )

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        hot = one_hot(label, self.classes, z)
        return cast(Tensor, self.joint(torch.cat([self.of_latent(z), self.of_label(hot)], 1)))
