"""Plain loops of the models that draw pictures from captions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reference.loop import Loop, Move, bce, frozen
from translate.layers.text import divergence, matching_loss, word_scores
from translate.training.engine import Draw


def fit(text_encoder: nn.Module, image_encoder: nn.Module, text: Tensor, images: Tensor) -> Tensor:
    """How well pictures and captions of a batch find each other, by words and by sentences."""
    regions, whole = image_encoder(images)
    words, sentence = text_encoder(text)
    by_sentence = F.cosine_similarity(whole[:, None], sentence[None], dim=2)
    return matching_loss(word_scores(regions, words, text), text) + matching_loss(by_sentence, text)


def after_matching(loop: Loop, play: Move) -> Move:
    """``play``, once the encoders have learnt captions and pictures."""
    encoders = loop.networks("text_encoder", "image_encoder")
    optimizer = loop.optimizer("text_encoder", "image_encoder")

    def move(draw: Draw) -> None:
        if loop.done >= loop.task.matching:
            frozen(encoders, True)
            play(draw)
            return
        x = draw()
        optimizer.zero_grad()
        with loop.autocast():
            loss = fit(*encoders, x["text"], x["image"])
        loss.backward()
        optimizer.step()

    return move


def swapped(logits: Tensor, text: Tensor) -> Tensor:
    """Cross-entropy for fakes, over those samples whose neighbour has another caption."""
    others = (text != text.roll(1, 0)).any(1)
    return F.softplus(logits[others]).mean() if others.any() else logits.new_zeros(())


def stackgan(loop: Loop) -> Move:
    """Zhang et al. (2017) in the order of the authors' code: the stage's discriminator, then its generator on the same
    fakes; the first stage, and then the second one with the first frozen."""
    task = loop.task
    g1, g2, _, _ = loop.networks("g1", "g2", "d1", "d2")
    optimizers = {role: loop.optimizer(role) for role in ("g1", "g2", "d1", "d2")}

    def stage(number: int, text: Tensor, real: Tensor, fake: Tensor, mean: Tensor, log_variance: Tensor) -> None:
        d, opt_g, opt_d = loop.nets[f"d{number}"], optimizers[f"g{number}"], optimizers[f"d{number}"]
        sentence = loop.nets["text_encoder"](text)[1]
        opt_d.zero_grad()
        with loop.autocast():
            right, other = d(real, sentence)[:, 0], d(real, sentence.roll(1, 0))[:, 0]
            loss = bce(right, 1.0) + 0.5 * bce(d(fake.detach(), sentence)[:, 0], 0.0) + 0.5 * swapped(other, text)
        loss.backward()
        opt_d.step()
        opt_g.zero_grad()
        with loop.autocast():
            loss = bce(d(fake, sentence)[:, 0], 1.0) + task.kl * divergence(mean, log_variance)
        loss.backward()
        opt_g.step()

    def play(draw: Draw) -> None:
        x = draw()
        image, text = x["image"], x["text"]
        sentence = loop.nets["text_encoder"](text)[1]
        z = torch.randn(len(image), task.latent + 2 * task.condition, device=image.device)
        latent, spread1, spread2 = z.split((task.latent, task.condition, task.condition), 1)
        second = loop.done >= task.matching + task.first
        with loop.autocast(), torch.set_grad_enabled(not second):
            small, *gauss = g1(sentence, latent, spread1)
        if second:
            with loop.autocast():
                large, *gauss = g2(small, sentence, spread2)
            stage(2, text, image, large, *gauss)
        else:
            stage(1, text, F.interpolate(image, size=small.shape[2:], mode="area"), small, *gauss)

    return after_matching(loop, play)


def attngan(loop: Loop) -> Move:
    """Xu et al. (2018) in the order of the authors' code, which keeps an average: each size's discriminator, then the
    generator on the same fakes."""
    task = loop.task
    g, *judges = loop.networks("g", "d1", "d2", "d3")
    opt_g = loop.optimizer("g")
    opt_ds = [loop.optimizer(role) for role in ("d1", "d2", "d3")]
    loop.average("g")

    def play(draw: Draw) -> None:
        x = draw()
        image, text = x["image"], x["text"]
        words, sentence = loop.nets["text_encoder"](text)
        z, spread = torch.randn(len(image), task.latent + task.condition, device=image.device).split(
            (task.latent, task.condition), 1
        )
        with loop.autocast():
            fakes, mean, log_variance = g(words, sentence, text, z, spread)
        for d, opt_d, fake in zip(judges, opt_ds, fakes, strict=True):
            real = F.interpolate(image, size=fake.shape[2:], mode="area")
            opt_d.zero_grad()
            with loop.autocast():
                right, other = d(real, sentence), d(real, sentence.roll(1, 0))[:, 0]
                loss = bce(right, 1.0) + (2 * bce(d(fake.detach(), sentence), 0.0) + swapped(other, text)) / 3
            loss.backward()
            opt_d.step()
        opt_g.zero_grad()
        with loop.autocast():
            loss = task.kl * divergence(mean, log_variance)
            for d, fake in zip(judges, fakes, strict=True):
                loss = loss + 2 * bce(d(fake, sentence), 1.0)
            loss = loss + task.fit * fit(loop.nets["text_encoder"], loop.nets["image_encoder"], text, fakes[-1])
        loss.backward()
        opt_g.step()

    return after_matching(loop, play)
