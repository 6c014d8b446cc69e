"""Optimizers, schedules and initial weights that every model may choose from."""

from __future__ import annotations

import math
from typing import Annotated, Literal, TypeAlias

import torch
from annotated_types import Ge, Gt, Lt
from torch import nn

ORIGINAL = "parametrizations.weight.original"
"""The name of the parameter from which a parametrised layer, such as a spectrally normalised one, has its weight."""

Optimizer = Literal["adam", "adamw", "rmsprop", "sgd"]
Fall = Literal["constant", "linear", "cosine", "fifths", "halving"]
Schedule = Literal["paper", "constant", "linear", "cosine", "fifths", "halving"]
"""``paper``: the model's own."""
SCHEDULE = (
    "how the learning rate falls over the run; paper: as the model has it; fifths: halved after each; "
    "halving: halved after 1/8, 1/4, 1/2 and 3/4"
)
HALVINGS = (1 / 8, 1 / 4, 1 / 2, 3 / 4)
"""After these shares of the run ``halving`` halves the learning rate."""
Weights = Literal["paper", "normal", "xavier", "kaiming", "orthogonal"]
"""``paper``: as the model's networks are built."""

Rate: TypeAlias = Annotated[float, "learning rate", Gt(0)]
Moment: TypeAlias = Annotated[float, Ge(0), Lt(1)]
Moments: TypeAlias = Annotated[tuple[Moment, Moment], "Adam moments"]
"""Fields of a task model, for those that have defaults of their own."""


def make_optimizer(
    kind: Optimizer, params: list[nn.Parameter], lr: float, betas: tuple[float, float], weight_decay: float
) -> torch.optim.Optimizer:
    """An optimizer over ``params``; the fused one where torch has it.

    ``betas``: Adam's moments (Kingma and Ba, 2015). The second one is RMSprop's smoothing constant (Hinton, 2012), the
    first one the momentum of SGD.
    """
    match kind:
        case "adam":
            return torch.optim.Adam(params, lr=lr, betas=betas, weight_decay=weight_decay, fused=True)
        case "adamw":
            return torch.optim.AdamW(params, lr=lr, betas=betas, weight_decay=weight_decay, fused=True)
        case "rmsprop":
            return torch.optim.RMSprop(params, lr=lr, alpha=betas[1], weight_decay=weight_decay)
        case "sgd":
            return torch.optim.SGD(params, lr=lr, momentum=betas[0], weight_decay=weight_decay, fused=True)


def fall(kind: Fall, progress: float) -> float:
    """What multiplies the learning rate when ``progress``, in [0, 1), of the run is done: from 1 towards 0.

    Cosine: Loshchilov and Hutter (2017), equation 5, without restarts. Fifths and halving: Wang et al. (2018),
    section 4.1: halved after each fifth, as in their pre-training, or after ``HALVINGS``, as in their game.
    """
    match kind:
        case "constant":
            return 1.0
        case "linear":
            return 1.0 - progress
        case "cosine":
            return (1 + math.cos(math.pi * progress)) / 2
        case "fifths":
            return 0.5 ** int(5 * progress)
        case "halving":
            return float(0.5 ** sum(progress >= share for share in HALVINGS))


def initialise(net: nn.Module, kind: Literal["normal", "xavier", "kaiming", "orthogonal"], gain: float = 0.02) -> None:
    """Draw the weights of convolutions and linear layers anew, in place, from torch's default generator; biases 0.

    ``gain``: the standard deviation of ``normal``, and what multiplies ``xavier`` (Glorot and Bengio, 2010) and
    ``orthogonal`` (Saxe et al., 2014); ``kaiming`` is that of He et al. (2015) for rectifiers. Batch norms get weights
    from N(1, 0.02), as Radford et al. (2016) have them.
    """
    for layer in net.modules():
        if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear)):
            # Under spectral norm ``layer.weight`` is computed: writing to it would do nothing.
            weight = next(own for name, own in layer.named_parameters() if name in ("weight", ORIGINAL))
            match kind:
                case "normal":
                    nn.init.normal_(weight, 0.0, gain)
                case "xavier":
                    nn.init.xavier_normal_(weight, gain)
                case "kaiming":
                    nn.init.kaiming_normal_(weight)
                case "orthogonal":
                    nn.init.orthogonal_(weight, gain)
        elif isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)) and layer.affine:
            nn.init.normal_(layer.weight, 1.0, 0.02)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
