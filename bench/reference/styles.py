"""Plain loops of the models with an average of the generator and penalties on the discriminator's slope."""

from __future__ import annotations

import math
import random

import torch
from torch import Tensor
from torch.nn import functional as F

from reference.loop import Loop, Move, between, frozen, only, slopes
from reference.samplers import latents
from translate.training.engine import Draw

R1_EVERY, PATH_EVERY = 16, 4


def r3gan(loop: Loop) -> Move:
    """Huang et al. (2024), section 2.3: the discriminator with R1 and R2 in each step, then the generator."""
    g, d = loop.networks("g", "d")
    opt_g, opt_d = loop.optimizer("g"), loop.optimizer("d")
    loop.average("g")

    def move(draw: Draw) -> None:
        image = draw()["image"]
        falling = (1 + math.cos(math.pi * loop.progress)) / 2
        gamma = loop.task.gamma * (0.1 + 0.9 * falling)
        opt_d.zero_grad()
        real = image.detach().requires_grad_(True)
        with loop.autocast():
            fake = g(latents(loop, image)).detach().requires_grad_(True)
            on_real, on_fake = d(real), d(fake)
            loss = F.softplus(on_fake - on_real).mean()
            for logits, images in ((on_real, real), (on_fake, fake)):
                (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
                loss = loss + gamma / 2 * slope.square().sum((1, 2, 3)).mean()
        loss.backward()
        opt_d.step()
        frozen([d], True)
        opt_g.zero_grad()
        with loop.autocast():
            loss = F.softplus(d(image) - d(g(latents(loop, image)))).mean()
        loss.backward()
        opt_g.step()
        frozen([d], False)

    return move


def stylegan2(loop: Loop) -> Move:
    """Karras et al. (2020): the generator, the discriminator, then the regularisations that are due, on fresh noise.

    As in the public PyTorch codes all pictures of a batch change their style at one layer, if they do, and the average
    of the generator is what counts.
    """
    task = loop.task
    only(task.noise == "on")
    g, d = loop.networks("g", "d")
    opt_g = loop.optimizer("g", share=PATH_EVERY / (PATH_EVERY + 1) if task.path else 1.0)
    opt_d = loop.optimizer("d", share=R1_EVERY / (R1_EVERY + 1) if task.gamma else 1.0)
    loop.average("g")
    device = loop.engine.device
    mean_length = torch.zeros((), device=device)

    def styles(count: int) -> Tensor:
        w = g.styles(torch.randn(count, task.latent, device=device))
        if random.random() < task.mixing:
            cut = 1 + random.randrange(w.shape[1] - 1)
            w = torch.cat([w[:, :cut], g.styles(torch.randn(count, task.latent, device=device))[:, cut:]], 1)
        return w

    def synthesis(w: Tensor) -> Tensor:
        return g.synthesis(w, [torch.randn(len(w), *conv.noise.shape[1:], device=device) for conv in g.synthesis.convs])

    def lengths(image: Tensor) -> Tensor:
        w = styles(len(image))
        fake = synthesis(w)
        noise = torch.randn_like(fake) / math.sqrt(fake.shape[2] * fake.shape[3])
        (slope,) = torch.autograd.grad((fake * noise).sum(), w, create_graph=True)
        return slope.square().sum(2).mean(1).sqrt()

    def regularise(image: Tensor) -> None:
        nonlocal mean_length
        if task.gamma and loop.done % R1_EVERY == 0:
            opt_d.zero_grad()
            with loop.autocast():
                loss = task.gamma / 2 * R1_EVERY * slopes(d, image).square().sum(1).mean()
            loss.backward()
            opt_d.step()
        if task.path and loop.done % PATH_EVERY == 0:
            opt_g.zero_grad()
            with loop.autocast():
                found = lengths(image)
                loss = task.path * PATH_EVERY * (found - mean_length).square().mean()
            loss.backward()
            opt_g.step()
            mean_length = mean_length + 0.01 * (found.detach().mean() - mean_length)

    def move(draw: Draw) -> None:
        image = draw()["image"]
        frozen([d], True)
        opt_g.zero_grad()
        with loop.autocast():
            loss = F.softplus(-d(synthesis(styles(len(image))))).mean()
        loss.backward()
        opt_g.step()
        frozen([d], False)
        opt_d.zero_grad()
        with loop.autocast():
            fake = synthesis(styles(len(image))).detach()
            loss = F.softplus(-d(image)).mean() + F.softplus(d(fake)).mean()
        loss.backward()
        opt_d.step()
        regularise(image)

    return move


def pggan(loop: Loop) -> Move:
    """Karras et al. (2018): WGAN-GP with drift at the side of the moment, the critic first; Adam's moments go on.

    With labels also a classification, as in the authors' code.
    """
    task, stages = loop.task, loop.task.stages(loop.data.size)
    g, d = loop.networks("g", "d")
    opt_g, opt_d = loop.optimizer("g"), loop.optimizer("d")
    loop.average("g")
    labelled = "label" in loop.data.names
    grown = g.net if labelled else g

    def move(draw: Draw) -> None:
        x = draw()
        stage = next(stage for stage in stages if stage.stop is None or loop.done < stage.stop)
        used = len(x["image"]) // stage.parts
        given = [x["label"][:used]] if labelled else []
        depth = torch.tensor(max(0.0, stage.number - 1 + min(1.0, (loop.done - stage.start + 1) / stage.fade)))
        at = stage.number, depth.to(x["image"])
        real = shrunk(x["image"][:used], stage.side, stage.number - float(depth))

        def classified(found: Tensor) -> Tensor:
            return task.classify * F.cross_entropy(found[:, 1:], *given) if labelled else found.new_zeros(())

        opt_d.zero_grad()
        with loop.autocast():
            fake = g(latents(loop, real), *given, *at).detach()
            on_real, on_fake = d(real, *at), d(fake, *at)
            loss = on_fake[:, 0].mean() - on_real[:, 0].mean() + 0.001 * on_real[:, 0].square().mean()
            found = slopes(lambda image: d(image, *at)[:, 0], between(real, fake)).norm(2, dim=1)
            loss = loss + task.penalty * (found - 1).square().mean() + classified(on_real) + classified(on_fake)
        loss.backward()
        opt_d.step()
        frozen([d], True)
        opt_g.zero_grad()
        with loop.autocast():
            on_fake = d(g(latents(loop, real), *given, *at), *at)
            loss = classified(on_fake) - on_fake[:, 0].mean()
        loss.backward()
        opt_g.step()
        frozen([d], False)
        grown.depth.fill_(at[1])

    return move


def shrunk(images: Tensor, side: int, missing: float) -> Tensor:
    """Real images at a side that is faded in but for a share: for that, they show what half the side shows."""
    images = F.avg_pool2d(images, images.shape[2] // side)
    if not missing:
        return images
    coarse = F.interpolate(F.avg_pool2d(images, 2), scale_factor=2)
    return missing * coarse + (1 - missing) * images
