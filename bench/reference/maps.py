"""Plain loops of the models that draw pictures from label maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from gantk_pix2pixhd import inputs_of
from reference.loop import Loop, Move, frozen, lsgan, only
from translate.contract import Batch
from translate.discriminators.multiscale import halved
from translate.training.engine import Draw

Features = Sequence[Sequence[Tensor]]
"""For each scale of the discriminator what its layers give, the logits last."""


def pix2pixhd(loop: Loop) -> Move:
    """The order of the authors' pix2pixHD code: all losses, then the generator's update and the discriminator's.

    The discriminator's gradients are computed in the generator's step too, and thrown away; so are those of the global
    generator while the enhancer learns alone.
    """
    task = loop.task
    only(task.generator != "spade" and task.loss == "lsgan" and task.vgg_weights is None and not (task.r1 or task.r2))
    local = task.generator == "local"
    g, *enhancers, d = loop.networks("g", *["enhancer"] * local, "d")
    opt_g, *opt_enhancer, opt_d = (loop.optimizer(role) for role in loop.nets)

    def move(draw: Draw) -> None:
        x = Batch(draw())
        given, real = inputs_of(x), x.image
        coarse = local and loop.done < task.coarse_steps
        moved = [opt_g] if coarse or not local else opt_enhancer
        if local and loop.done >= task.coarse_steps + task.alone_steps:
            moved = [opt_g, *opt_enhancer]
        with loop.autocast():
            if coarse:
                given, real = halved(given), halved(real)
            fake = g(given) if coarse or not local else enhancers[0](given, g.trunk(halved(given)))
            on_fakes = d.features(torch.cat([given, fake.detach()], 1))
            on_real, on_fake = (d.features(torch.cat([given, image], 1)) for image in (real, fake))
            loss_d = lsgan_of(on_fakes, 0.0) + lsgan_of(on_real, 1.0)
            loss_g = lsgan_of(on_fake, 1.0) + task.matching * apart(on_fake, on_real)
        for optimizer in [opt_g, *opt_enhancer]:
            optimizer.zero_grad()
        loss_g.backward()
        for optimizer in moved:
            optimizer.step()
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()
        if local and not coarse:
            enhancers[0].trained.fill_(1)

    return move


def spade(loop: Loop) -> Move:
    """The order of the authors' SPADE code: the generator, then the discriminator on what it draws after its update.

    Real pictures and fakes go through the discriminator as one batch, as there.
    """
    task = loop.task
    only(task.loss == "hinge" and task.vgg_weights is None and not (task.r1 or task.r2 or task.style))
    g, d = loop.networks("g", "d")
    opt_g, opt_d = loop.optimizer("g"), loop.optimizer("d")

    def judged(given: Tensor, fake: Tensor, real: Tensor) -> tuple[Features, Features]:
        both = d.features(torch.cat([torch.cat([given, fake], 1), torch.cat([given, real], 1)]))
        halves = [[layer.chunk(2) for layer in scale] for scale in both]
        return [[half[0] for half in scale] for scale in halves], [[half[1] for half in scale] for scale in halves]

    def move(draw: Draw) -> None:
        x = Batch(draw())
        given = inputs_of(x)
        frozen([d], True)
        opt_g.zero_grad()
        with loop.autocast():
            on_fake, on_real = judged(given, g(given), x.image)
            loss = task.matching * apart(on_fake, on_real)
            for scale in on_fake:
                loss = loss - scale[-1].mean()
        loss.backward()
        opt_g.step()
        frozen([d], False)
        opt_d.zero_grad()
        with loop.autocast():
            with torch.no_grad():
                fake = g(given)
            on_fake, on_real = judged(given, fake, x.image)
            pairs = zip(on_fake, on_real, strict=True)
            loss = sum(F.relu(1 + fake[-1]).mean() + F.relu(1 - real[-1]).mean() for fake, real in pairs)
        loss.backward()
        opt_d.step()

    return move


def lsgan_of(scales: Features, target: float) -> Tensor:
    """Of all scales' logits."""
    return torch.stack([lsgan(scale[-1], target) for scale in scales]).sum()


def apart(fake: Features, real: Features) -> Tensor:
    """The feature matching loss, the mean over the scales."""
    layers = [
        F.l1_loss(ours, theirs.detach())
        for of_fake, of_real in zip(fake, real, strict=True)
        for ours, theirs in zip(of_fake[:-1], of_real[:-1], strict=True)
    ]
    return torch.stack(layers).sum() / len(fake)
