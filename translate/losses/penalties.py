"""Penalties on a critic's gradient with respect to its input, in fp32 also under autocast.

They are written with ``torch.func.grad``, which compiles in one graph where ``torch.autograd.grad`` does not. An
image's score is the mean of its logits; where there are several scales, the sum of their means.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import Tensor, nn

from translate.losses.adversarial import Logits

Critic = Callable[[Tensor], Logits]
"""Images (N, C, H, W) -> logits with N first, or one such tensor for each scale."""
Score = Literal["mean", "sum"]
"""What an image's many logits come to, whose gradient a penalty is on."""
PenaltyOn = Annotated[
    Score, "what the penalty is on: the mean of a picture's patches, or their sum as in the public code"
]

EVERY = 16
"""In one step of so many a lazy penalty runs, with as many times its weight (Karras et al., 2020, section 3.1)."""
R1 = Annotated[float, "weight gamma of R1, on the discriminator's slope at real pictures, in one step of 16", Ge(0)]
R2 = Annotated[float, "weight gamma of R2, the same at generated pictures", Ge(0)]


def gradient_penalty(
    critic: Critic,
    real: Tensor,
    fake: Tensor,
    eps: Tensor | None = None,
    slope: float = 1.0,
    score: Score = "mean",
) -> Tensor:
    """How far the critic's gradient norm is from ``slope`` between real and fake, in units of it, unweighted.

    Gulrajani et al., 2017, eq. 3, where it is 1; with another one Karras et al., 2018, appendix A.1. ``real``,
    ``fake``: (N, C, H, W). ``eps``: (N,) in [0, 1], each pair's share of ``real``; drawn uniformly if None. ``score``:
    of a critic of patches the mean, or their sum as in CycleGAN's public code, whose slope is as many times as large.
    Raises ``ValueError`` for a critic with batch norm, under which an image's score is not its own (section 4).
    """
    if eps is None:
        eps = torch.rand(real.shape[0], device=real.device)
    real, fake = _full(real), _full(fake)
    eps = eps.to(real.dtype).view(-1, 1, 1, 1)
    gradient, _ = _input_gradient(critic, fake + eps * (real - fake), score)
    norms: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
    loss: Tensor = (norms / slope - 1.0).square().mean()
    return loss


def r1(critic: Critic, real: Tensor) -> Tensor:
    """Half the mean squared gradient norm at real images (Mescheder et al., 2018, eq. 9), without its weight gamma.

    ``real``: (N, C, H, W). Raises ``ValueError`` for a critic with batch norm.
    """
    return logits_and_penalty(critic, real)[1]


def logits_and_penalty(critic: Critic, images: Tensor) -> tuple[Logits, Tensor]:
    """The logits of images and half their mean squared gradient norm, in one pass: for penalties on every step.

    R1 at real images, R2 at generated ones (Mescheder et al., 2018, eq. 9 and the one after it), without gamma.
    ``images``: (N, C, H, W). Raises ``ValueError`` for a critic with batch norm.
    """
    gradient, logits = _input_gradient(critic, _full(images))
    return logits, 0.5 * gradient.square().flatten(1).sum(1).mean()


def lazy_penalties(
    critic: Critic, real: Tensor, fake: Tensor, gamma_real: float, gamma_fake: float
) -> dict[str, Tensor]:
    """R1 and R2 as terms of a phase that runs in one step of ``EVERY``; without those whose gamma is 0."""
    places = {"r1": (gamma_real, real), "r2": (gamma_fake, fake)}
    return {name: EVERY * gamma * r1(critic, images) for name, (gamma, images) in places.items() if gamma}


def _full(images: Tensor) -> Tensor:
    return images.float() if images.dtype in (torch.bfloat16, torch.float16) else images


def _input_gradient(critic: Critic, images: Tensor, kind: Score = "mean") -> tuple[Tensor, Logits]:
    if isinstance(critic, nn.Module) and any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in critic.modules()):
        raise ValueError("a gradient penalty needs a critic without batch norm; take norm instance or none")

    def score(x: Tensor) -> tuple[Tensor, Logits]:
        logits = critic(x)
        scales = [logits] if isinstance(logits, Tensor) else logits
        shares = [1.0 if kind == "sum" else len(x) / scale.numel() for scale in scales]
        return torch.stack([scale.sum() * share for scale, share in zip(scales, shares, strict=True)]).sum(), logits

    with torch.autocast(images.device.type, enabled=False):
        gradient: Tensor
        logits: Logits
        gradient, logits = torch.func.grad(score, has_aux=True)(images)
    return gradient, logits
