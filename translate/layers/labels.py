"""How a class enters a network that was not built for classes."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn


def one_hot(label: Tensor, classes: int, like: Tensor) -> Tensor:
    """Labels (N,) int64 as (N, classes) of the type of ``like``: 1 for the class, 0 for others.

    Shares of the classes, (N, classes) in floating point, stay as they are. That of torch reads the labels on the host,
    to check them.
    """
    if label.is_floating_point():
        return label.to(like.dtype)
    return (label[:, None] == torch.arange(classes, device=label.device)).to(like.dtype)


def embedded(embedding: nn.Embedding, label: Tensor) -> Tensor:
    """The embeddings (N, numbers) of labels (N,) int64, or the means of all by their shares (N, classes)."""
    return label @ embedding.weight if label.is_floating_point() else cast(Tensor, embedding(label))


class WithLabel(nn.Module):
    """A network whose input is followed by the class, as numbers or planes: ``weight`` for the class, 0 for others.

    (N, C) or (N, C, H, W) with labels as ``one_hot`` takes them -> what ``net`` makes of (N, C + classes) or
    (N, C + classes, H, W).
    """

    def __init__(self, net: nn.Module, classes: int, weight: float = 1.0) -> None:
        super().__init__()
        self.net, self.classes, self.weight = net, classes, weight

    def forward(self, x: Tensor, label: Tensor, *more: Any) -> Tensor:
        hot = self.weight * one_hot(label, self.classes, x)
        planes = hot.reshape(-1, self.classes, *[1] * (x.dim() - 2))
        return cast(Tensor, self.net(torch.cat([x, planes.expand(-1, -1, *x.shape[2:])], 1), *more))
