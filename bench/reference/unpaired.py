"""Plain loops of the models that translate between sets of pictures without partners."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gantk_stargan import Codes
from reference.loop import Loop, Move, Pool, between, frozen, lsgan, only, slopes
from translate.contract import Batch, TaskModel
from translate.training.engine import Draw

SQUARES = 8
"""Along a side of a picture, of which UVCGAN hides some."""


def cyclegan(loop: Loop) -> Move:
    """The order of the public CycleGAN code: translations, cycles, identities, then each discriminator."""
    only(not loop.task.penalty)
    return cycle(loop)


def uvcgan(loop: Loop) -> Move:
    """Torbunov et al. (2022): generators that first learn to fill hidden squares, then CycleGAN's game with a penalty
    on the slope, which is to be so large for pictures from 0 to 1."""
    task = loop.task
    play = cycle(loop, task.slope / 2)
    generators, opt_g = (loop.nets["g_ab"], loop.nets["g_ba"]), loop.optimizers[0]

    def hidden(image: Tensor) -> Tensor:
        squares = torch.rand(len(image), 1, SQUARES, SQUARES, device=image.device) >= task.masked
        return image * F.interpolate(squares.to(image.dtype), size=image.shape[2:])

    def move(draw: Draw) -> None:
        if loop.done >= task.pretrain:
            play(draw)
            return
        x = draw()
        given = {name: hidden(x[name]) for name in "ab"}
        opt_g.zero_grad()
        with loop.autocast():
            losses = [F.l1_loss(g(given[name]), x[name]) for g in generators for name in "ab"]
            loss = torch.stack(losses).sum()
        loss.backward()
        opt_g.step()

    return move


def cycle(loop: Loop, slope: float = 1.0) -> Move:
    """CycleGAN's game; ``slope``: what the penalty holds the discriminators' slope at, where there is one."""
    task = loop.task
    only(task.loss == "lsgan" and task.scales == 1 and task.cycle_b is None and task.penalty_on == "mean")
    only(not (task.r1 or task.r2 or task.ramp) and task.pool == 50)
    g_ab, g_ba, d_a, d_b = loop.networks("g_ab", "g_ba", "d_a", "d_b")
    opt_g, opt_d = loop.optimizer("g_ab", "g_ba"), loop.optimizer("d_a", "d_b")
    pools = Pool(), Pool()
    identity = task.cycle * task.identity

    def judged(d: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        loss = 0.5 * (lsgan(d(real), 1.0) + lsgan(d(fake), 0.0))
        if task.penalty:
            found = slopes(lambda image: d(image).flatten(1).mean(1), between(real, fake)).norm(2, dim=1)
            loss = loss + task.penalty * (found / slope - 1).square().mean()
        return loss

    def move(draw: Draw) -> None:
        x = draw()
        a, b = x["a"], x["b"]
        with loop.autocast():
            fake_b = g_ab(a)
            rec_a = g_ba(fake_b)
            fake_a = g_ba(b)
            rec_b = g_ab(fake_a)
            frozen([d_a, d_b], True)
            opt_g.zero_grad()
            loss = lsgan(d_b(fake_b), 1.0) + lsgan(d_a(fake_a), 1.0)
            loss = loss + task.cycle * F.l1_loss(rec_a, a) + task.cycle * F.l1_loss(rec_b, b)
            if identity:
                loss = loss + identity * F.l1_loss(g_ab(b), b) + identity * F.l1_loss(g_ba(a), a)
        loss.backward()
        opt_g.step()
        frozen([d_a, d_b], False)
        opt_d.zero_grad()
        for d, real, fake, pool in ((d_a, a, fake_a, pools[0]), (d_b, b, fake_b, pools[1])):
            with loop.autocast():
                loss = judged(d, real, pool.query(fake))
            loss.backward()
        opt_d.step()

    return move


def sincut(loop: Loop) -> Move:
    """Park et al. (2020) for a single picture, in the authors' order: the discriminator with R1, then the generator
    and the heads, for which the same places of all patches are compared with each other."""
    task = loop.task
    g, f, d = loop.networks("g", "f", "d")
    opt_g, opt_f, opt_d = (loop.optimizer(role) for role in ("g", "f", "d"))

    def compared(image: Tensor) -> list[Tensor]:
        layers = g.encode(image)
        return [image, layers[0], layers[2], layers[-1]]

    def contrasted(before: list[Tensor], after: Tensor) -> Tensor:
        queries, keys = compared(after)[:-1], before[:-1]
        places = [chosen(layer, task.places) for layer in keys]
        together = [[part.flatten(0, 1)[None] for part in f(layers, places)] for layers in (queries, keys)]
        return patch_nce(*together, task.temperature)

    def move(draw: Draw) -> None:
        x = draw()
        a, b = x["a"], x["b"]
        with loop.autocast():
            of_a, of_b = compared(a), compared(b)
            grain = torch.randn(len(a), 2, *a.shape[2:], device=a.device)
            fake, same = (g.decode(of[-1], noise) for of, noise in zip((of_a, of_b), grain.split(1, 1), strict=True))
            frozen([d], False)
            opt_d.zero_grad()
            loss = 0.5 * (F.softplus(-d(b)).mean() + F.softplus(d(fake.detach())).mean())
            loss = loss + task.r1 / 2 * slopes(d, b).square().sum(1).mean()
        loss.backward()
        opt_d.step()
        frozen([d], True)
        opt_g.zero_grad()
        opt_f.zero_grad()
        with loop.autocast():
            loss = F.softplus(-d(fake)).mean() + task.identity * F.l1_loss(same, b)
            loss = loss + task.nce / 2 * (contrasted(of_a, fake) + contrasted(of_b, same))
        loss.backward()
        opt_g.step()
        opt_f.step()

    return move


def stargan(loop: Loop) -> Move:
    """Choi et al. (2018) in the order of the authors' code: the discriminator some times, then the generator.

    The discriminator's batches are fresh ones, and target domains evenly spread, as ours are.
    """
    task, codes = loop.task, Codes.of(loop.data)
    g, d = loop.networks("g", "d")
    opt_g, opt_d = loop.optimizer("g"), loop.optimizer("d")

    def target(image: Tensor) -> Tensor:
        return codes.drawn(torch.rand(len(image), *codes.noise().shape, device=image.device) * 2 - 1)

    def scores(image: Tensor) -> Tensor:
        found = d(image)[0].flatten(1)
        return found.mean(1) if task.penalty_on == "mean" else found.sum(1)

    def move(draw: Draw) -> None:
        for _ in range(task.critic):
            x = Batch(draw())
            opt_d.zero_grad()
            with loop.autocast():
                real, logits = d(x.image)
                fake = g(x.image, target(x.image)).detach()
                loss = d(fake)[0].mean() - real.mean() + task.classification * codes.loss(logits, codes.of_batch(x))
                found = slopes(scores, between(x.image, fake)).norm(2, dim=1)
                loss = loss + task.penalty * (found - 1).square().mean()
            loss.backward()
            opt_d.step()
        opt_g.zero_grad()
        with loop.autocast():
            wanted = target(x.image)
            fake = g(x.image, wanted)
            score, logits = d(fake)
            back = g(fake, codes.of_batch(x))
            loss = -score.mean() + task.classification * codes.loss(logits, wanted)
            loss = loss + task.reconstruction * F.l1_loss(back, x.image)
        loss.backward()
        opt_g.step()

    return move


def cut(loop: Loop) -> Move:
    """The order of the authors' CUT code: the discriminator, then the generator and the heads that compare patches.

    As there, patches are drawn without replacement, and all pictures of a batch are mirrored together.
    """
    task = loop.task
    only(task.scales == 1 and not (task.r1 or task.r2) and task.nce > 0)
    g, f, d = loop.networks("g", "f", "d")
    opt_g, opt_f, opt_d = loop.optimizer("g"), loop.optimizer("f"), loop.optimizer("d")

    def move(draw: Draw) -> None:
        x = draw()
        a, b = x["a"], x["b"]
        flip = task.mirror and random.random() < 0.5
        real = torch.cat([a, b]) if task.identity else a
        with loop.autocast():
            fake = g(real.flip(3) if flip else real)
            fake_b = fake[: len(a)]
            frozen([d], False)
            opt_d.zero_grad()
            loss = 0.5 * (lsgan(d(fake_b.detach()), 0.0) + lsgan(d(b), 1.0))
        loss.backward()
        opt_d.step()
        frozen([d], True)
        opt_g.zero_grad()
        opt_f.zero_grad()
        with loop.autocast():
            loss = contrast(g, f, a, fake_b, task, flip)
            if task.identity:
                loss = (loss + contrast(g, f, b, fake[len(a) :], task, flip)) / 2
            loss = lsgan(d(fake_b), 1.0) + task.nce * loss
        loss.backward()
        opt_g.step()
        opt_f.step()

    return move


def contrast(g: nn.Module, f: nn.Module, before: Tensor, after: Tensor, task: TaskModel, flip: bool) -> Tensor:
    """Patches of the output against those of the input, the mean over the feature layers."""
    queries, keys = encoded(g, after), encoded(g, before)
    if flip:
        queries = [layer.flip(3) for layer in queries]
    places = [chosen(layer, task.patches) for layer in keys]
    return patch_nce(f(queries, places), f(keys, places), task.temperature)


def patch_nce(queries: Sequence[Tensor], keys: Sequence[Tensor], temperature: float) -> Tensor:
    """Each of the vectors (N, P, C) of a layer is to find its own among the P of its picture; the mean over layers."""
    losses = []
    for query, key in zip(queries, keys, strict=True):
        query, key = F.normalize(query, dim=2), F.normalize(key.detach(), dim=2)
        logits = torch.bmm(query, key.transpose(1, 2)) / temperature
        target = torch.arange(logits.shape[1], device=logits.device).repeat(len(logits))
        losses.append(F.cross_entropy(logits.flatten(0, 1), target))
    return torch.stack(losses).mean()


def chosen(layer: Tensor, patches: int) -> Tensor:
    """Indices of random pixels, the same for all pictures: (N, patches)."""
    return torch.randperm(layer.shape[2] * layer.shape[3], device=layer.device)[:patches].expand(len(layer), -1)


def encoded(g: nn.Module, image: Tensor) -> Sequence[Tensor]:
    """The picture, the convolutions that halve it, and the first and the fifth block; what follows is not computed."""
    found, x = [image], g.stem(image)
    for layer in g.down:
        x = layer[0](x)
        found.append(x)
        x = layer[1:](x)
    for index, block in enumerate(g.blocks[:5]):
        x = block(x)
        if index == 0:
            found.append(x)
    return [*found, x]
