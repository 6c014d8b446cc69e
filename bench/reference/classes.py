"""Plain loops of the models that draw pictures of a class."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from reference.loop import Loop, Move, bce, only
from reference.samplers import latents
from translate.training.engine import Draw

PASSES = 64
"""Of the generator, from which the statistics for sampling are gathered."""


def cgan(loop: Loop) -> Move:
    """Mirza and Osindero (2014), equation 2, in the order of DCGAN's loop; fakes have the classes of the batch."""
    only(loop.task.loss == "vanilla")
    g, d = loop.networks("g", "d")
    opt_g, opt_d = loop.optimizer("g"), loop.optimizer("d")

    def move(draw: Draw) -> None:
        x = draw()
        image, label = x["image"], x["label"]
        opt_d.zero_grad()
        with loop.autocast():
            fake = g(latents(loop, image, loop.task.noise), label)
            loss = bce(d(image, label), 1.0) + bce(d(fake.detach(), label), 0.0)
        loss.backward()
        opt_d.step()
        opt_g.zero_grad()
        with loop.autocast():
            loss = bce(d(fake, label), 1.0)
        loss.backward()
        opt_g.step()

    return move


def hinge(loop: Loop, regularisation: float = 0.0) -> Move:
    """SAGAN's game: the discriminator some times, each on a fresh batch, then the generator on fresh noise."""
    g, d = loop.networks("g", "d")
    opt_g, opt_d = loop.optimizer("g"), loop.optimizer("d")
    loop.finish["g"] = standing

    def move(draw: Draw) -> None:
        for _ in range(loop.task.critic):
            x = draw()
            opt_d.zero_grad()
            with loop.autocast():
                with torch.no_grad():
                    fake = g(latents(loop, x["image"]), x["label"])
                loss = F.relu(1 - d(x["image"], x["label"])).mean() + F.relu(1 + d(fake, x["label"])).mean()
            loss.backward()
            opt_d.step()
        opt_g.zero_grad()
        with loop.autocast():
            loss = -d(g(latents(loop, x["image"]), x["label"]), x["label"]).mean()
        loss.backward()
        if regularisation:
            add_orthogonal(g, regularisation)
        opt_g.step()

    return move


def sagan(loop: Loop) -> Move:
    """Zhang et al. (2019). The authors publish the last weights, so there is no average, whatever the run has."""
    return hinge(loop)


def biggan(loop: Loop) -> Move:
    """Brock et al. (2019), in the order of the authors' PyTorch code, with its average of the generator."""
    move = hinge(loop, loop.task.orthogonal)
    loop.average("g")
    return move


@torch.no_grad()
def add_orthogonal(net: nn.Module, weight: float) -> None:
    """Add the gradient of the orthogonal regularisation, as the authors' code does: worked out by hand."""
    for layer in net.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            parameter = next(own for own in layer.parameters() if own.dim() > 1)
            rows = parameter.flatten(1)
            products = rows @ rows.t()
            products.fill_diagonal_(0)
            parameter.grad += weight * 4 * (products @ rows).view_as(parameter)


def standing(net: nn.Module) -> None:
    """Standing statistics of the batch norms (Brock et al., 2019), gathered once training is over."""
    for _ in range(PASSES):
        net.gather()
