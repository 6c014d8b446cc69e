"""Plain loops of the models that learn from pairs of pictures."""

from __future__ import annotations

import torch
from torch import Tensor
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


def video_pix2pix(loop: Loop) -> Move:
    """pix2pix's order for two frames that follow each other, each with the result, or the target, before it."""
    task = loop.task
    only(task.loss == "vanilla" and task.scales == 1 and not (task.r1 or task.r2 or task.ramp))
    g, d = loop.networks("g", "d")
    opt_g, opt_d = loop.optimizer("g"), loop.optimizer("d")

    def move(draw: Draw) -> None:
        x = draw()
        earlier, later, b_earlier, b_later = x["a_before"], x["a"], x["b_before"], x["b"]
        black = torch.zeros_like(b_earlier)

        def judged(first: Tensor, before: Tensor, second: Tensor, target: float) -> Tensor:
            of_first = bce(d(torch.cat([earlier, black, first], 1)), target)
            return (of_first + bce(d(torch.cat([later, before, second], 1)), target)) / 2

        with loop.autocast():
            first = g(torch.cat([earlier, black], 1))
            own = torch.rand(len(first), 1, 1, 1, device=first.device) > 0.5
            before = torch.where(own, first, b_earlier)
            fake = g(torch.cat([later, before], 1))
            frozen([d], False)
            opt_d.zero_grad()
            loss = judged(first.detach(), before.detach(), fake.detach(), 0.0)
            loss = 0.5 * (loss + judged(b_earlier, b_earlier, b_later, 1.0))
        loss.backward()
        opt_d.step()
        frozen([d], True)
        opt_g.zero_grad()
        with loop.autocast():
            loss = judged(first, before, fake, 1.0)
            loss = loss + task.l1 / 2 * (F.l1_loss(first, b_earlier) + F.l1_loss(fake, b_later))
            loss = loss + task.temporal * F.l1_loss(fake - before, b_later - b_earlier)
        loss.backward()
        opt_g.step()

    return move


def inpaint(loop: Loop) -> Move:
    """Yu et al. (2019): both stages of the generator with the discriminator frozen, then the discriminator."""
    task = loop.task
    g, d = loop.networks("g", "d")
    opt_g, opt_d = loop.optimizer("g"), loop.optimizer("d")

    def move(draw: Draw) -> None:
        x = draw()
        image, hole = x["image"], (x["mask"] > 0).to(x["image"].dtype)
        frozen([d], True)
        opt_g.zero_grad()
        with loop.autocast():
            coarse, fine = g(image, hole)
            filled = fine * hole + image * (1 - hole)
            loss = task.l1 * (F.l1_loss(coarse, image) + F.l1_loss(fine, image))
            loss = loss - task.adversarial * d(torch.cat([filled, hole], 1)).mean()
        loss.backward()
        opt_g.step()
        frozen([d], False)
        opt_d.zero_grad()
        with loop.autocast():
            real, fake = (d(torch.cat([shown, hole], 1)) for shown in (image, filled.detach()))
            loss = 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())
        loss.backward()
        opt_d.step()

    return move
