"""Plain loops of the models that draw pictures from noise, without classes and at one size."""

from __future__ import annotations

import torch
from torch import Tensor

from reference.loop import Loop, Move, bce, between, lsgan, only, slopes
from translate.training.engine import Draw


def latents(loop: Loop, images: Tensor, distribution: str = "normal") -> Tensor:
    """One for each image."""
    shape = len(images), loop.task.latent
    if distribution == "uniform":
        return torch.rand(*shape, device=images.device) * 2 - 1
    return torch.randn(*shape, device=images.device)


def gan(loop: Loop) -> Move:
    """Algorithm 1 of Goodfellow et al. (2014) with k = 1: the discriminator, then the generator on fresh noise.

    Adam for the paper's momentum, as ours has it. As in the PyTorch codes of it, the discriminator's gradients are
    computed in the generator's step too, and thrown away.
    """
    only(not loop.task.saturating)
    g, d = loop.networks("g", "d")
    opt_g, opt_d = loop.optimizer("g"), loop.optimizer("d")

    def move(draw: Draw) -> None:
        image = draw()["image"]
        opt_d.zero_grad()
        with loop.autocast():
            fake = g(latents(loop, image, loop.task.noise))
            loss = bce(d(image), 1.0) + bce(d(fake.detach()), 0.0)
        loss.backward()
        opt_d.step()
        opt_g.zero_grad()
        with loop.autocast():
            loss = bce(d(g(latents(loop, image, loop.task.noise))), 1.0)
        loss.backward()
        opt_g.step()

    return move


def dcgan(loop: Loop) -> Move:
    """The order of PyTorch's DCGAN example: real, fake, then the generator on the same fakes."""
    task = loop.task
    only(task.loss == "vanilla" and task.critic == 1 and not (task.penalty or task.simultaneous or task.unroll))
    only(not (task.feature_matching or task.instance_noise))
    g, d = loop.networks("g", "d")
    opt_g, opt_d = loop.optimizer("g"), loop.optimizer("d")

    def move(draw: Draw) -> None:
        image = draw()["image"]
        opt_d.zero_grad()
        with loop.autocast():
            loss = bce(d(image), task.real_label)
        loss.backward()
        z = latents(loop, image, task.noise)
        with loop.autocast():
            fake = g(z)
            loss = bce(d(fake.detach()), 0.0)
        loss.backward()
        opt_d.step()
        opt_g.zero_grad()
        with loop.autocast():
            loss = bce(d(fake), 1.0)
        loss.backward()
        opt_g.step()

    return move


def least_squares(loop: Loop) -> Move:
    """LSGAN: DCGAN's order with the halved squares of Mao et al. (2017), equation 9."""
    g, d = loop.networks("g", "d")
    opt_g, opt_d = loop.optimizer("g"), loop.optimizer("d")

    def move(draw: Draw) -> None:
        image = draw()["image"]
        opt_d.zero_grad()
        with loop.autocast():
            fake = g(latents(loop, image))
            loss = 0.5 * (lsgan(d(image), 1.0) + lsgan(d(fake.detach()), 0.0))
        loss.backward()
        opt_d.step()
        opt_g.zero_grad()
        with loop.autocast():
            loss = 0.5 * lsgan(d(fake), 1.0)
        loss.backward()
        opt_g.step()

    return move


def wgan(loop: Loop) -> Move:
    """Algorithm 1 of Arjovsky et al. (2017) with the authors' schedule of the critic; fakes for it without a graph."""
    task = loop.task
    g, d = loop.networks("g", "d")
    opt_g, opt_d = loop.optimizer("g"), loop.optimizer("d")

    def move(draw: Draw) -> None:
        often = loop.done < 25 or loop.done % 500 == 0
        for _ in range(max(task.critic, task.critic_early) if often else task.critic):
            image = draw()["image"]
            opt_d.zero_grad()
            with torch.no_grad(), loop.autocast():
                fake = g(latents(loop, image))
            with loop.autocast():
                loss = d(fake).mean() - d(image).mean()
            loss.backward()
            opt_d.step()
            for weight in d.parameters():
                weight.data.clamp_(-task.clip_weights, task.clip_weights)
        opt_g.zero_grad()
        with loop.autocast():
            loss = -d(g(latents(loop, image))).mean()
        loss.backward()
        opt_g.step()

    return move


def wgan_gp(loop: Loop) -> Move:
    """Algorithm 1 of Gulrajani et al. (2017), with twice as many fakes for the generator as for the critic."""
    task = loop.task
    g, d = loop.networks("g", "d")
    opt_g, opt_d = loop.optimizer("g"), loop.optimizer("d")

    def move(draw: Draw) -> None:
        for _ in range(task.critic):
            image = draw()["image"]
            opt_d.zero_grad()
            with loop.autocast():
                fake = g(latents(loop, image)).detach()
                loss = d(fake).mean() - d(image).mean()
                loss = loss + task.penalty * (slopes(d, between(image, fake)).norm(2, dim=1) - 1).square().mean()
            loss.backward()
            opt_d.step()
        opt_g.zero_grad()
        with loop.autocast():
            z = torch.cat([latents(loop, image), latents(loop, image)])
            loss = -d(g(z)).mean()
        loss.backward()
        opt_g.step()

    return move
