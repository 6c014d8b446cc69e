"""StackGAN and AttnGAN against plain loops, and what the captions do."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.functional import binary_cross_entropy_with_logits as bce

import translate
from gantk_attngan import AttnGAN
from gantk_stackgan import StackGAN
from plain_loop import adam, assert_same, engine_of, fp64, given
from translate.contract import DataSpec
from translate.errors import UsageError
from translate.generators.text import doublings
from translate.layers.text import TextEncoder, WordAttention, matching_loss, word_scores

WORDS = ("", "a", "above", "blue", "circle", "red", "square")
SPEC = DataSpec(32, {"image": 3}, {"text": WORDS})
SMALL = {"features": 6, "latent": 3, "condition": 4, "width": 4, "d_width": 3}
TEXT = torch.tensor([[1, 5, 4, 2, 1, 3, 6], [1, 3, 4, 0, 0, 0, 0], [1, 5, 6, 0, 0, 0, 0], [1, 5, 6, 0, 0, 0, 0]])
RIGHT, WRONG = torch.ones, torch.zeros


def batch(seed: int = 0) -> dict[str, Tensor]:
    image = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1
    return {"image": image, "text": TEXT}


def plain_encoding(encoder: TextEncoder) -> tuple[list[Tensor], Tensor]:
    """Caption by caption, by the equations of an LSTM: states of the words that are there, and the sentence."""
    words, sentences = [], []
    lstm, half = encoder.lstm, encoder.lstm.hidden_size

    def run(inputs: list[Tensor], suffix: str) -> list[Tensor]:
        state, cell, states = torch.zeros(half), torch.zeros(half), []
        for value in inputs:
            gates = getattr(lstm, f"weight_ih_l0{suffix}") @ value + getattr(lstm, f"bias_ih_l0{suffix}")
            gates = gates + getattr(lstm, f"weight_hh_l0{suffix}") @ state + getattr(lstm, f"bias_hh_l0{suffix}")
            enter, forget, new, leave = gates.chunk(4)
            cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
            state = leave.sigmoid() * cell.tanh()
            states.append(state)
        return states

    for row in TEXT:
        inputs = [encoder.embedding.weight[index] if index else torch.zeros(300) for index in row]
        onward, back = run(inputs, ""), run(inputs[::-1], "_reverse")[::-1]
        count = int(row.count_nonzero())
        words.append(torch.stack([torch.cat([onward[place], back[place]]) for place in range(len(row))], 1))
        sentences.append(torch.cat([onward[count - 1], back[0]]))
    return words, torch.stack(sentences)


def plain_score(regions: Tensor, words: Tensor, row: Tensor) -> Tensor:
    """One picture and one caption, by eqs. 7 to 10, word by word."""
    places = [place for place, word in enumerate(row.tolist()) if word]
    products = torch.stack([words[:, place] @ regions for place in places])
    products = products.exp() / products.exp().sum(0, keepdim=True)
    total = torch.zeros(())
    for number, place in enumerate(places):
        share = (4 * products[number]).exp()
        context = regions @ (share / share.sum())
        total = total + (5 * F.cosine_similarity(context, words[:, place], dim=0)).exp()
    return total.log() / 5


def plain_matching(nets: nn.ModuleDict, images: Tensor) -> tuple[Tensor, Tensor]:
    regions, whole = nets["image_encoder"](images)
    words, sentence = plain_encoding(nets["text_encoder"])

    def loss(score: list[list[Tensor]]) -> Tensor:
        total = torch.zeros(())
        for i in range(4):
            others = [j for j in range(4) if j == i or not torch.equal(TEXT[i], TEXT[j])]
            row, column = [10 * score[i][j] for j in others], [10 * score[j][i] for j in others]
            total = total - (10 * score[i][i] - torch.stack(row).exp().sum().log()) / 4
            total = total - (10 * score[i][i] - torch.stack(column).exp().sum().log()) / 4
        return total

    by_words = [[plain_score(regions[i], words[j], TEXT[j]) for j in range(4)] for i in range(4)]
    by_sentence = [[F.cosine_similarity(whole[i], sentence[j], dim=0) for j in range(4)] for i in range(4)]
    return loss(by_words), loss(by_sentence)


@pytest.mark.parametrize("task", [AttnGAN(**SMALL, matching=2), StackGAN(**SMALL, matching=2)], ids=["attn", "stack"])
def test_matching_equals_a_plain_loop(task: AttnGAN | StackGAN) -> None:
    with fp64():
        engine = engine_of(task, SPEC)
        plain = copy.deepcopy(engine.nets)
        optimizers = [adam(plain[role]) for role in ("text_encoder", "image_encoder")]
        for seed in range(2):
            engine.train_step(lambda seed=seed: batch(seed), 0.0)
            for optimizer in optimizers:
                optimizer.zero_grad()
            sum(plain_matching(plain, batch(seed)["image"])).backward()
            for optimizer in optimizers:
                optimizer.step()
        for role in engine.nets:
            assert_same(engine.nets[role], plain[role], 1e-9)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    normal = torch.distributions.Normal(mean, (log_variance / 2).exp())
    return torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).mean()


def cross(logits: Tensor, target: object) -> Tensor:
    return bce(logits, target(logits.shape))


def test_a_step_of_attngan_equals_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    with fp64():
        engine = engine_of(AttnGAN(**SMALL, matching=0), SPEC)
        nets, seen = copy.deepcopy(engine.nets), given(engine, monkeypatch)
        x = batch()
        engine.train_step(lambda: dict(x), 0.0)
        latent, spread = seen[0]["z"][:, :3], seen[0]["z"][:, 3:]
        words, sentence = plain_encoding(nets["text_encoder"])
        words, sentence = torch.stack(words).detach(), sentence.detach()
        fakes, mean, log_variance = nets["g"](words, sentence, TEXT, latent, spread)
        assert [fake.shape[2] for fake in fakes] == [8, 16, 32]
        # Of the four captions the last two are the same, so that the picture of the last has no wrong caption.
        swapped = [0, 1, 2]
        for role, fake in zip(("d1", "d2", "d3"), fakes, strict=True):
            d, optimizer = nets[role], adam(nets[role])
            real = F.avg_pool2d(x["image"], 32 // fake.shape[2])
            on_real, on_fake = d(real, sentence), d(fake.detach(), sentence)
            wrong = d(real, sentence[[3, 0, 1, 2]])[swapped, 0]
            loss = (cross(on_real[:, 0], RIGHT) + cross(on_real[:, 1], RIGHT)) / 2
            loss = loss + (cross(on_fake[:, 0], WRONG) + cross(on_fake[:, 1], WRONG) + cross(wrong, WRONG)) / 3
            loss.backward()
            optimizer.step()
        optimizer, loss = adam(nets["g"]), divergence(mean, log_variance)
        for role, fake in zip(("d1", "d2", "d3"), fakes, strict=True):
            verdict = nets[role](fake, sentence)
            loss = loss + cross(verdict[:, 0], RIGHT) + cross(verdict[:, 1], RIGHT)
        (loss + 5 * sum(plain_matching(nets, fakes[2]))).backward()
        optimizer.step()
        for role in nets:
            assert_same(engine.nets[role], nets[role])


@pytest.mark.parametrize("stage", [1, 2])
def test_a_step_of_each_stage_of_stackgan_equals_a_plain_loop(stage: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with fp64():
        engine = engine_of(StackGAN(**SMALL, matching=0, first=1 if stage == 1 else 0), SPEC)
        nets, seen = copy.deepcopy(engine.nets), given(engine, monkeypatch)
        x = batch()
        engine.train_step(lambda: dict(x), 0.0)
        latent, spread1, spread2 = seen[0]["z"].split((3, 4, 4), 1)
        sentence = plain_encoding(nets["text_encoder"])[1].detach()
        fake, mean, log_variance = nets["g1"](sentence, latent, spread1)
        real = F.avg_pool2d(x["image"], 4)
        if stage == 2:
            fake, mean, log_variance = nets["g2"](fake.detach(), sentence, spread2)
            real = x["image"]
        d, g = nets[f"d{stage}"], nets[f"g{stage}"]
        of_d, of_g = adam(d), adam(g)
        right, wrong = d(real, sentence)[:, 0], d(real, sentence[[3, 0, 1, 2]])[[0, 1, 2], 0]
        on_fake = d(fake.detach(), sentence)[:, 0]
        (cross(right, RIGHT) + (cross(wrong, WRONG) + cross(on_fake, WRONG)) / 2).backward()
        of_d.step()
        of_g.zero_grad()
        (cross(d(fake, sentence)[:, 0], RIGHT) + 2 * divergence(mean, log_variance)).backward()
        of_g.step()
        for role in nets:
            assert_same(engine.nets[role], nets[role])


def test_a_word_that_is_not_there_plays_no_part() -> None:
    torch.manual_seed(0)
    attention, x = WordAttention(5, 6), torch.randn(2, 5, 4, 4)
    words, text = torch.randn(2, 6, 7), TEXT[1:3]
    changed = words.clone()
    changed[:, :, 3:] = 100.0
    assert torch.equal(attention(x, words, text), attention(x, changed, text))
    regions = torch.randn(2, 6, 9)
    assert torch.allclose(word_scores(regions, words, text), word_scores(regions, changed, text))


def test_the_same_caption_twice_is_not_held_against_either() -> None:
    scores = torch.tensor([[0.1, 0.0, 0.2], [0.3, 0.1, 0.9], [0.2, 0.9, 0.1]])
    alike = matching_loss(scores, torch.tensor([[1], [2], [2]]))
    changed = scores.clone()
    changed[1, 2] = changed[2, 1] = -0.9
    assert torch.equal(alike, matching_loss(changed, torch.tensor([[1], [2], [2]])))
    assert alike < matching_loss(scores, torch.tensor([[1], [2], [3]]))


def test_a_batch_of_one_caption_gives_no_loss_by_which_to_tell_them_apart() -> None:
    same = torch.tensor([[1], [1], [1]])
    assert matching_loss(torch.rand(3, 3), same) == 0


@pytest.mark.parametrize("name", ["stackgan", "attngan"])
def test_a_picture_is_drawn_from_text(name: str, tmp_path: Path) -> None:
    for number, caption in enumerate(("a red circle", "a blue square", "a red square", "a blue circle")):
        Image.new("RGB", (32, 32), (40 * number, 90, 10)).save(tmp_path / f"{number}.png")
        (tmp_path / f"{number}.txt").write_text(caption, encoding="utf-8")
    more = {"first": 1} if name == "stackgan" else {}
    small = {**SMALL, "matching": 1, **more, "batch": 4, "size": 32, "steps": 3, "device": "cpu", "quiet": True}
    translate.train(name, images=tmp_path, out=tmp_path / "run", **small)
    model = translate.load(tmp_path / "run")
    pictures = model.sample(2, seed=1, text="a red square")
    assert pictures.shape == (2, 3, 32, 32)
    assert torch.equal(pictures, model.sample(2, seed=1, text="A red square."))
    with pytest.raises(UsageError, match=r"does not know the word 'sqare' \(did you mean square\?\)"):
        model.sample(1, text="a red sqare")
    with pytest.raises(UsageError, match=r"--set text=\.\.\.: expected what the picture shows"):
        model.sample(1)


@pytest.mark.parametrize("size", [16, 48, 100])
def test_sizes_that_the_stages_do_not_reach_are_refused(size: int) -> None:
    with pytest.raises(UsageError, match=rf"--size {size}: expected a power of two from 32"):
        AttnGAN().networks(dataclasses.replace(SPEC, size=size))


def test_an_odd_number_of_features_is_refused() -> None:
    with pytest.raises(UsageError, match="features 5: expected an even number"):
        StackGAN(features=5)


def test_doublings() -> None:
    assert [doublings(4 << count) for count in (1, 4, 6)] == [1, 4, 6]
    with pytest.raises(ValueError, match="4 is no power of two from 8"):
        doublings(4)
