"""StarGAN against a plain loop, with domains and with attributes, and from its file."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gantk_stargan import Codes, StarGAN
from plain_loop import adam, assert_same, engine_of, fp64, given, images
from translate.contract import Batch, DataSpec
from translate.errors import UsageError
from translate.modelfile.model import load_published
from translate.modelfile.write import save_published

DOMAINS = DataSpec(16, {"image": 3}, {"domain": ("winter", "summer", "autumn")})
ATTRIBUTES = DataSpec(16, {"image": 3}, {"attributes": ("blond", "young")})
SMALL: dict[str, Any] = {"width": 2, "blocks": 1, "d_layers": 2}


def plain_generator(weights: list[Tensor], image: Tensor, code: Tensor) -> Tensor:
    """The generator of one block, from its weights in order."""
    left = iter(weights)

    def norm(x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
        return (x - mean) / (variance + 1e-5).sqrt() * next(left)[:, None, None] + next(left)[:, None, None]

    planes = torch.stack([torch.stack([torch.full(image.shape[2:], float(c)) for c in row]) for row in code])
    x = norm(F.conv2d(torch.cat([image, planes], 1), next(left), padding=3)).relu()
    for _ in range(2):
        x = norm(F.conv2d(x, next(left), stride=2, padding=1)).relu()
    y = norm(F.conv2d(x, next(left), padding=1)).relu()
    x = x + norm(F.conv2d(y, next(left), padding=1))
    for _ in range(2):
        x = norm(F.conv_transpose2d(x, next(left), stride=2, padding=1)).relu()
    return F.conv2d(x, next(left), padding=3).tanh()


def plain_discriminator(weights: list[Tensor], image: Tensor) -> tuple[Tensor, Tensor]:
    first, first_bias, second, second_bias, score, domain = weights
    x = F.leaky_relu(F.conv2d(image, first, first_bias, stride=2, padding=1), 0.01)
    x = F.leaky_relu(F.conv2d(x, second, second_bias, stride=2, padding=1), 0.01)
    return F.conv2d(x, score, padding=1).mean((1, 2, 3)), torch.einsum("nchw,kchw->nk", x, domain)


@pytest.mark.parametrize("on", ["mean", "sum"])
@pytest.mark.parametrize("spec", [DOMAINS, ATTRIBUTES], ids=["domains", "attributes"])
def test_a_step_equals_a_plain_loop(spec: DataSpec, on: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equations 1 to 8 of the paper, with networks, penalty and both classifications written out."""
    exclusive = "domain" in spec.names
    patches = 16 if on == "sum" else 1

    def classified(logits: Tensor, code: Tensor) -> Tensor:
        if exclusive:
            return -(logits.log_softmax(1) * code).sum(1).mean()
        chance = logits.sigmoid()
        return -(code * chance.log() + (1 - code) * (1 - chance).log()).sum(1).mean()

    def target(noise: Tensor) -> Tensor:
        if exclusive:
            return torch.eye(3)[[int((u + 1) / 2 * 3) for u in noise[:, 0].tolist()]]
        return torch.tensor([[float(u > 0) for u in row] for row in noise.tolist()])

    with fp64():
        engine, real = engine_of(StarGAN(critic=2, penalty_on=on, **SMALL), spec), images(spec)
        if exclusive:
            batch, own = {"domain": torch.tensor([0, 2, 1, 2])}, torch.eye(3)[[0, 2, 1, 2]]
        else:
            own = torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
            batch = {"attributes": own}
        seen = given(engine, monkeypatch)
        nets = copy.deepcopy(engine.nets)
        g, d = ([*nets[role].parameters()] for role in ("g", "d"))
        g_adam, d_adam = adam(nets.g, 1e-4), adam(nets.d, 1e-4)
        engine.train_step(lambda: {"image": real, **batch}, 0.0)
        for x in seen[:2]:
            fake = plain_generator(g, real, target(x["target"])).detach()
            share = ((x["between"] + 1) / 2)[:, None, None, None]
            mixed = (share * real + (1 - share) * fake).requires_grad_()
            (slope,) = torch.autograd.grad(patches * plain_discriminator(d, mixed)[0].sum(), mixed, create_graph=True)
            penalty = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
            on_real, logits = plain_discriminator(d, real)
            d_adam.zero_grad()
            apart = plain_discriminator(d, fake)[0].mean() - on_real.mean()
            (apart + 10 * penalty + classified(logits, own)).backward()
            d_adam.step()
        wanted = target(seen[2]["target"])
        fake = plain_generator(g, real, wanted)
        on_fake, logits = plain_discriminator(d, fake)
        back = (plain_generator(g, fake, own) - real).abs().mean()
        g_adam.zero_grad()
        (-on_fake.mean() + classified(logits, wanted) + 10 * back).backward()
        g_adam.step()
    assert len(seen) == 3
    assert_same(engine.nets.g, nets.g)
    assert_same(engine.nets.d, nets.d)


def test_the_defaults_are_the_papers() -> None:
    task = StarGAN()
    assert (task.lr, task.betas, task.critic, task.penalty) == (1e-4, (0.5, 0.999), 5, 10.0)
    assert (task.classification, task.reconstruction, task.recipe.batch, task.recipe.size) == (1.0, 10.0, 16, 128)
    assert [task.lr_at(p) for p in (0.0, 0.5, 0.75)] == [1.0, 1.0, 0.5]
    with torch.device("meta"):
        nets = {
            role: make()
            for role, make in task.networks(DataSpec(128, {"image": 3}, {"domain": tuple("abcde")})).items()
        }
        score, logits = nets["d"](torch.empty(2, 3, 128, 128))
        assert (score.shape, logits.shape) == ((2, 1, 2, 2), (2, 5))
        # As many as the authors' code has for five attributes.
        assert sum(p.numel() for p in nets["g"].parameters()) == 8_430_528
        assert sum(p.numel() for p in nets["d"].parameters()) == 44_762_048


def test_targets_are_spread_evenly() -> None:
    engine = engine_of(StarGAN(**SMALL), DOMAINS)
    (first, _) = engine.task.phases(DOMAINS)
    noise = first.noise["target"].draw(3000, torch.Generator().manual_seed(0))
    shares = Codes.of(DOMAINS).drawn(noise).mean(0)
    assert (shares - 1 / 3).abs().max() < 0.05
    edges = Codes.of(DOMAINS).drawn(torch.tensor([[-1.0], [1.0]]))
    assert edges.tolist() == [[1, 0, 0], [0, 0, 1]]


def test_a_size_that_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="--size 100: expected a multiple of 64 with --d-layers 6: 64 or 128"):
        StarGAN().networks(DataSpec(100, {"image": 3}, {"domain": ("a", "b")}))


def saved(spec: DataSpec, path: Path) -> Path:
    engine = engine_of(StarGAN(**SMALL), spec)
    for parameter in engine.nets.g.parameters():
        nn.init.normal_(parameter, std=0.3)
    state = {f"g.{key}": value for key, value in engine.nets.g.state_dict().items()}
    save_published(path, plugin="stargan", task=engine.task, data=spec, tensors=state, weights="raw", step=1)
    return path


def test_a_published_model_goes_to_the_domain_that_was_asked_for(tmp_path: Path) -> None:
    published = load_published(saved(DOMAINS, tmp_path / "stargan.safetensors"))
    (direction,) = published.directions
    assert direction.conditions["domain"].choices == ("winter", "summer", "autumn")
    image = images(DOMAINS, 1)
    with torch.inference_mode():
        found = [
            direction.run(
                published.nets, Batch({"image": image, "domain": direction.conditions["domain"].encode(n)[None]})
            )
            for n in DOMAINS.names["domain"]
        ]
        expected = published.nets.g(image, torch.tensor([[0.0, 1.0, 0.0]]))
    assert torch.equal(found[1], expected)
    assert not torch.allclose(found[0], found[1])


def test_attributes_are_written_as_a_list(tmp_path: Path) -> None:
    published = load_published(saved(ATTRIBUTES, tmp_path / "stargan.safetensors"))
    condition = published.directions[0].conditions["attributes"]
    assert condition.encode("young").tolist() == [0, 1]
    assert condition.encode("young, blond").tolist() == [1, 1]
    assert condition.encode("none").tolist() == [0, 0]
    with pytest.raises(ValueError, match=r"expected some of blond, young, or none \(did you mean young\?\)"):
        condition.encode("yuong")


def test_a_preview_shows_every_domain_and_each_attribute_turned_round() -> None:
    engine = engine_of(StarGAN(**SMALL), DOMAINS)
    x = Batch({"image": images(DOMAINS), "domain": torch.tensor([0, 1, 2, 0])})
    columns = engine.task.preview(engine.nets, x, DOMAINS)
    assert list(columns) == ["image", "to winter", "to summer", "to autumn"]
    engine = engine_of(StarGAN(**SMALL), ATTRIBUTES)
    own = torch.tensor([[0.0, 1.0]])
    columns = engine.task.preview(engine.nets, Batch({"image": images(ATTRIBUTES, 1), "attributes": own}), ATTRIBUTES)
    expected = engine.nets.g(images(ATTRIBUTES, 1), torch.tensor([[1.0, 1.0]]))
    assert torch.equal(columns["to blond"], expected)
