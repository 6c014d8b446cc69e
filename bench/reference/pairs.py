"""Plain loops of the models that learn from pairs of pictures."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from reference.loop import Loop, Move, bce, frozen, only
from translate.training.engine import Draw


def pix2pix(loop: Loop) -> Move:
    """The order of the public pix2pix code: the discriminator, then the generator."""
    task = loop.task
    only(task.loss == "vanilla" and task.scales == 1 and not (task.r1 or task.r2 or task.ramp))
    g, d = loop.networks("g", "d")
    opt_g, opt_d = loop.optimizer("g"), loop.optimizer("d")

    def move(draw: Draw) -> None:
        x = draw()
        a, b = x["a"], x["b"]
        with loop.autocast():
            fake = g(a)
            frozen([d], False)
            opt_d.zero_grad()
            loss = bce(d(torch.cat([a, fake.detach()], 1)), 0.0)
            loss = 0.5 * (loss + bce(d(torch.cat([a, b], 1)), 1.0))
        loss.backward()
        opt_d.step()
        frozen([d], True)
        opt_g.zero_grad()
        with loop.autocast():
            loss = bce(d(torch.cat([a, fake], 1)), 1.0) + task.l1 * F.l1_loss(fake, b)
        loss.backward()
        opt_g.step()

    return move
