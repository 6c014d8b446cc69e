"""Plain loops of the models that enlarge or restore: the generator alone on pixels, then the game."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from reference.loop import Loop, Move, bce, frozen, only
from translate.layers.sharpen import sharpened
from translate.training.engine import Draw

Pictures = Mapping[str, Tensor]


def after_warm_up(
    loop: Loop,
    opt_g: torch.optim.Optimizer,
    loss_of: Callable[[Pictures], Tensor],
    game: Callable[[Pictures], None],
    rate: float = 1.0,
) -> Move:
    """``game``, but in the first steps a loss of the generator's alone, at so many times the learning rate."""

    def move(draw: Draw) -> None:
        x = draw()
        if loop.done >= loop.task.warmup:
            game(x)
            return
        loop.set_rate(rate)
        opt_g.zero_grad()
        with loop.autocast():
            loss = loss_of(x)
        loss.backward()
        opt_g.step()

    return move


def srgan(loop: Loop) -> Move:
    """The order of the public SRGAN codes: the discriminator, then the generator with its content loss.

    As in those codes the discriminator's gradients are computed in the generator's step too, and thrown away.
    """
    task = loop.task
    g, d = loop.networks("g", "d")
    opt_g, opt_d = loop.optimizer("g"), loop.optimizer("d")
    vgg = loop.constant("features") if task.perceptual != "none" else None

    def content(fake: Tensor, high: Tensor) -> Tensor:
        return F.mse_loss(fake, high) if vgg is None else F.mse_loss(vgg(fake) / 12.75, vgg(high) / 12.75)

    def game(x: Pictures) -> None:
        with loop.autocast():
            fake = g(x["low"])
            opt_d.zero_grad()
            loss = bce(d(x["high"]), 1.0) + bce(d(fake.detach()), 0.0)
        loss.backward()
        opt_d.step()
        opt_g.zero_grad()
        with loop.autocast():
            loss = content(fake, x["high"]) + task.adversarial * bce(d(fake), 1.0)
        loss.backward()
        opt_g.step()

    return after_warm_up(loop, opt_g, lambda x: F.mse_loss(g(x["low"]), x["high"]), game)


def esrgan(loop: Loop) -> Move:
    """The order of the authors' ESRGAN code: the generator with the discriminator frozen, then the discriminator.

    BasicSR's later version takes the same steps, but forwards the fakes once more in the discriminator's.
    """
    task = loop.task
    only(task.game == "paper")
    g, d = loop.networks("g", "d")
    opt_g, opt_d = loop.optimizer("g"), loop.optimizer("d")
    vgg = loop.constant("features") if task.perceptual != "none" else None

    def game(x: Pictures) -> None:
        high = x["high"]
        frozen([d], True)
        opt_g.zero_grad()
        with loop.autocast():
            fake = g(x["low"])
            loss = task.pixel * F.l1_loss(fake, high) / 2
            if vgg is not None:
                loss = loss + F.l1_loss(vgg(fake), vgg(high).detach())
            on_fake, on_real = d(fake), d(high).detach()
            loss = (
                loss + task.adversarial * (bce(on_real - on_fake.mean(), 0.0) + bce(on_fake - on_real.mean(), 1.0)) / 2
            )
        loss.backward()
        opt_g.step()
        frozen([d], False)
        opt_d.zero_grad()
        with loop.autocast():
            on_real, on_fake = d(high), d(fake.detach())
            loss = (bce(on_real - on_fake.mean(), 1.0) + bce(on_fake - on_real.mean(), 0.0)) / 2
        loss.backward()
        opt_d.step()

    return after_warm_up(loop, opt_g, lambda x: F.l1_loss(g(x["low"]), x["high"]) / 2, game, rate=2.0)


def realesrgan(loop: Loop) -> Move:
    """The order of the authors' Real-ESRGAN code, which keeps an average: the generator with the discriminator frozen,
    then the discriminator, on real pictures and on fakes apart."""
    task = loop.task
    only(task.loss == "vanilla" and not (task.r1 or task.r2 or task.ramp))
    sharpen = task.generator == "rrdb" if task.sharpen is None else task.sharpen
    g, d = loop.networks("g", "d")
    opt_g, opt_d = loop.optimizer("g"), loop.optimizer("d")
    loop.average("g")
    vgg = loop.constant("features") if task.perceptual != "none" else None

    def distance(fake: Tensor, target: Tensor) -> Tensor:
        return F.l1_loss(fake, target) / 2

    def game(x: Pictures) -> None:
        target = sharpened(x["high"]) if sharpen else x["high"]
        frozen([d], True)
        opt_g.zero_grad()
        with loop.autocast():
            fake = g(x["low"])
            loss = task.pixel * distance(fake, target)
            if vgg is not None:
                for weight, ours, theirs in zip(task.LAYER_WEIGHTS, vgg(fake), vgg(target), strict=True):
                    loss = loss + weight * F.l1_loss(ours, theirs.detach())
            loss = loss + task.adversarial * bce(d(fake), 1.0)
        loss.backward()
        opt_g.step()
        frozen([d], False)
        opt_d.zero_grad()
        with loop.autocast():
            loss = bce(d(x["high"]), 1.0)
        loss.backward()
        with loop.autocast():
            loss = bce(d(fake.detach()), 0.0)
        loss.backward()
        opt_d.step()

    def alone(x: Pictures) -> Tensor:
        return distance(g(x["low"]), sharpened(x["high"]) if sharpen else x["high"])

    return after_warm_up(loop, opt_g, alone, game, rate=2.0)
