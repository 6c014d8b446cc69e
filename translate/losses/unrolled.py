"""A discriminator some steps ahead of its time (Metz et al., 2017)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from translate.losses.adversarial import AdversarialLoss


def unrolled(
    net: nn.Module, game: AdversarialLoss, real: Tensor, fake: Tensor, *, steps: int, rate: float
) -> Callable[[Tensor], Tensor]:
    """The discriminator as it would be after ``steps`` further steps of gradient descent (eqs. 7 and 8).

    ``real``, ``fake``: the images of those steps, (N, C, H, W). ``net`` itself does not move. What the returned
    function gives has a gradient through the steps, to ``fake``: the generator sees how its rival would answer
    (eq. 11). Under micro-batches each would take steps of its own.
    """
    weights = {name: weight.detach().requires_grad_() for name, weight in net.named_parameters()}
    for _ in range(steps):
        loss = game.discriminator(functional_call(net, weights, (real,)), functional_call(net, weights, (fake,)))
        slopes = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
        weights = {name: weights[name] - rate * slope for name, slope in zip(weights, slopes, strict=True)}
    final = weights

    def ahead(images: Tensor) -> Tensor:
        logits: Tensor = functional_call(net, final, (images,))
        return logits

    return ahead
