"""SAGAN and BigGAN against plain loops, their networks and their truncation."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gantk_biggan import BigGAN
from gantk_sagan import SAGAN
from plain_loop import engine_of, fp64, given, images
from translate.contract import Batch, DataSpec, TaskModel
from translate.errors import UsageError
from translate.layers.attention import SelfAttention
from translate.layers.resblocks import DownBlock, UpBlock
from translate.layers.standing import ConditionalNorm

SPEC = DataSpec(32, {"image": 1}, {"label": ("ship", "horse", "cat")})
LABELS = torch.tensor([2, 0, 1, 2])
SMALL: dict[str, TaskModel] = {
    "sagan": SAGAN(width=2, latent=6, attention=16),
    "biggan": BigGAN(width=2, latent=8, embedding=3, attention=16, orthogonal=0.5),
}


class Plain:
    """A network written out: its weights by name, spectral norm by one power iteration for each run in train mode."""

    def __init__(self, net: nn.Module) -> None:
        self.state = {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}
        self.weights = {name: self.state[name].requires_grad_() for name, _ in net.named_parameters()}

    def weight(self, layer: str) -> Tensor:
        plain = self.weights.get(f"{layer}.weight")
        if plain is not None:
            return plain
        own = self.weights[f"{layer}.parametrizations.weight.original"]
        u, v = (self.state[f"{layer}.parametrizations.weight.0._{name}"] for name in "uv")
        rows = own.flatten(1)
        with torch.no_grad():
            u.copy_(F.normalize(rows @ v, dim=0, eps=1e-12))
            v.copy_(F.normalize(rows.T @ u, dim=0, eps=1e-12))
        return own / (u.clone() @ rows @ v.clone())

    def conv(self, layer: str, x: Tensor) -> Tensor:
        weight = self.weight(layer)
        return F.conv2d(x, weight, self.weights.get(f"{layer}.bias"), padding=weight.shape[2] // 2)

    def attention(self, layer: str, x: Tensor) -> Tensor:
        query = self.conv(f"{layer}.query", x).flatten(2)
        key, value = (F.max_pool2d(self.conv(f"{layer}.{name}", x), 2).flatten(2) for name in ("key", "value"))
        share = torch.einsum("ncq,nck->nqk", query, key).softmax(2)
        found = torch.einsum("nqk,nck->ncq", share, value).reshape(len(x), -1, *x.shape[2:])
        return x + self.weights[f"{layer}.gamma"] * self.conv(f"{layer}.out", found)


def standardised(x: Tensor) -> Tensor:
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt()


def generate(g: Plain, z: Tensor, label: Tensor) -> Tensor:
    """A generator of 32 px pictures in train mode; blocks 0, 1 and 3 double the side, block 2 is the attention."""
    parts = [z] if "embedding.weight" not in g.weights else list(z.chunk(4, 1))
    x = (parts[0] @ g.weight("first").T + g.weights["first.bias"]).reshape(len(z), -1, 4, 4)
    for number, block in enumerate(("blocks.0", "blocks.1", "blocks.3")):
        y = (
            torch.eye(3)[label]
            if len(parts) == 1
            else torch.cat([g.weights["embedding.weight"][label], parts[number + 1]], 1)
        )

        def norm(name: str, x: Tensor, block: str = block, y: Tensor = y) -> Tensor:
            gain, shift = (y @ g.weight(f"{block}.{name}.{part}").T for part in ("gain", "shift"))
            return standardised(x) * (1 + gain[:, :, None, None]) + shift[:, :, None, None]

        inner = F.interpolate(norm("norm1", x).relu(), scale_factor=2)
        inner = g.conv(f"{block}.conv2", norm("norm2", g.conv(f"{block}.conv1", inner)).relu())
        x = inner + g.conv(f"{block}.skip", F.interpolate(x, scale_factor=2))
        if number == 1:
            x = g.attention("blocks.2", x)
    x = standardised(x) * g.weights["scale"][:, None, None] + g.weights["shift"][:, None, None]
    return g.conv("last", x.relu()).tanh()


def judge(d: Plain, x: Tensor, label: Tensor) -> Tensor:
    """A discriminator of 32 px pictures; layers 0 and 2 halve the side, layer 1 is the attention."""
    for number in (0, 2, 3, 4):
        block = f"features.{number}"
        y = d.conv(f"{block}.conv2", d.conv(f"{block}.conv1", x.relu() if number else x).relu())
        halved = number in (0, 2)
        x = F.avg_pool2d(y, 2) + d.conv(f"{block}.skip", F.avg_pool2d(x, 2)) if halved else y + x
        if number == 0:
            x = d.attention("features.1", x)
    phi = x.relu().sum((2, 3))
    own = phi @ d.weight("head")[0] + d.weights["head.bias"]
    return own + (d.weight("rows")[label] * phi).sum(1)


def regularised(g: Plain) -> Tensor:
    """Equation 3 of Brock et al. (2019), on all filters but the embedding's."""
    total = torch.zeros(())
    for name, weight in g.weights.items():
        if weight.dim() > 1 and not name.startswith("embedding"):
            rows = weight.flatten(1)
            total = total + ((rows @ rows.T) * (1 - torch.eye(len(rows)))).square().sum()
    return total


@pytest.mark.parametrize("name", SMALL)
def test_steps_equal_a_plain_loop(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with fp64():
        task: Any = SMALL[name]
        engine, real = engine_of(task, SPEC), images(SPEC)
        with torch.no_grad():  # what starts at 0 would hide what it multiplies
            for key, parameter in engine.nets.named_parameters():
                if key.endswith(("gamma", "gain.weight", "shift.weight")):
                    parameter.normal_(0, 0.3)
        seen = given(engine, monkeypatch)
        g, d = Plain(engine.nets.g), Plain(engine.nets.d)
        optimizers = [
            torch.optim.Adam(list(net.weights.values()), rate, task.betas, foreach=False)
            for net, rate in ((g, task.lr), (d, task.lr_d))
        ]
        engine.train_step(lambda: {"image": real, "label": LABELS}, 0.0)
        *critics, last = [x["z"] for x in seen]
        assert len(critics) == task.critic
        for z in critics:
            fake = generate(g, z, LABELS)
            on_real, on_fake = judge(d, real, LABELS), judge(d, fake.detach(), LABELS)
            ((1 - on_real).relu().mean() + (1 + on_fake).relu().mean()).backward()
            optimizers[1].step()
            optimizers[1].zero_grad()
        loss = -judge(d, generate(g, last, LABELS), LABELS).mean()
        (loss + 0.5 * regularised(g) if name == "biggan" else loss).backward()
        optimizers[0].step()
    for role, plain in (("g", g), ("d", d)):
        for key, weight in engine.nets[role].named_parameters():
            torch.testing.assert_close(
                weight, plain.weights[key], rtol=0, atol=1e-6, msg=lambda text, k=key: f"{k}: {text}"
            )


def channels(net: nn.Module) -> list[int]:
    return [m.conv2.out_channels for m in net.modules() if isinstance(m, (UpBlock, DownBlock))]


@pytest.mark.parametrize(("task", "width", "side"), [(SAGAN(), 64, 32), (BigGAN(), 96, 64)])
def test_the_papers_networks_for_128_pixels(task: TaskModel, width: int, side: int) -> None:
    spec = DataSpec(128, {"image": 3}, {"label": ("ship", "horse")})
    with torch.device("meta"):
        g, d = (task.networks(spec)[role]() for role in ("g", "d"))
    assert channels(g) == [width * multiple for multiple in (16, 8, 4, 2, 1)]
    assert channels(d) == [width * multiple for multiple in (1, 2, 4, 8, 16, 16)]
    position = {32: 3, 64: 4}[side]
    assert [number for number, m in enumerate(g.blocks) if isinstance(m, SelfAttention)] == [position]
    assert [number for number, m in enumerate(d.features) if isinstance(m, SelfAttention)] == [6 - position - 1]
    given = {m.gain.in_features for m in g.modules() if isinstance(m, ConditionalNorm)}
    assert given == ({2} if width == 64 else {128 + 20})


def test_rates_and_average_are_the_papers() -> None:
    assert [SAGAN().lr, SAGAN().lr_d, SAGAN().betas, SAGAN.recipe.ema] == [1e-4, 4e-4, (0.0, 0.9), 0.0]
    assert [BigGAN().lr, BigGAN().lr_d, BigGAN().betas, BigGAN.recipe.ema] == [5e-5, 2e-4, (0.0, 0.999), 0.9999]
    engine = engine_of(SMALL["biggan"], SPEC)
    assert [engine.optimizers[role].param_groups[0]["lr"] for role in ("g", "d")] == [5e-5, 2e-4]
    assert list(engine.averages) == ["g"]


@pytest.mark.parametrize("name", SMALL)
def test_a_small_truncation_gives_pictures_that_are_alike(name: str) -> None:
    engine = engine_of(SMALL[name], SPEC)
    for _ in range(3):
        engine.train_step(lambda: {"image": images(SPEC), "label": LABELS}, 0.0)
    assert engine.nets.g.turn.item() == 3
    (direction,) = SMALL[name].directions(SPEC)
    limit, label = direction.conditions["truncation"], torch.tensor([1, 1])
    assert limit.default == "4"
    apart = []
    for text in ("0", "0.5", "4"):
        x = {"z": torch.randn(2, direction.latent.shape[0]), "label": label, "truncation": limit.encode(text).expand(2)}
        with torch.inference_mode():
            one, two = direction.run(engine.nets.eval(), Batch(x))
        apart.append((one - two).abs().max().item())
    assert apart[0] == 0
    assert apart[1] > 0
    with pytest.raises(ValueError, match="expected a number from 0 to 4"):
        limit.encode("5")


@pytest.mark.parametrize(
    ("task", "size", "message"),
    [
        (SAGAN(), 48, "--size 48: expected one of 32, 64, 128, 256"),
        (SAGAN(attention=32), 32, "attention 32: maps have sides 8, 16; expected one of these, or 0"),
        (BigGAN(latent=30), 32, "latent 30: at --size 32 it is cut into 4 pieces; expected a multiple of 4"),
    ],
)
def test_what_cannot_be_is_refused(task: TaskModel, size: int, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        task.networks(DataSpec(size, {"image": 1}, {"label": ("ship", "horse")}))


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_short_run_learns_its_classes(name: str) -> None:
    """Dark and bright pictures: the averaged generator gives the one that it is asked for, at any truncation."""
    spec = DataSpec(32, {"image": 1}, {"label": ("dark", "bright")})
    task = replace(SMALL[name], width=4, latent=16, lr=1e-3, lr_d=1e-3)  # type: ignore[call-arg]
    engine, generator = engine_of(task, spec, batch=16, ema=0.9), torch.Generator().manual_seed(0)
    for step in range(150):
        label = torch.randint(2, (16,), generator=generator)
        light = label[:, None, None, None] * 1.2 - 0.6
        batch = {"image": light + 0.1 * torch.randn(16, 1, 32, 32, generator=generator), "label": label}
        engine.train_step(lambda batch=batch: batch, step / 150)  # type: ignore[misc]
    engine.read()
    (direction,) = task.directions(spec)
    label = torch.arange(32) % 2
    for limit in (0.3, 1.0, 4.0):
        x = Batch(
            {"z": torch.randn(32, 16, generator=generator), "label": label, "truncation": torch.full((32,), limit)}
        )
        with torch.no_grad(), engine.averages.in_place_of(engine.nets) as nets:
            brightness = direction.run(nets, x).mean((1, 2, 3))
        assert brightness[label == 0].mean() < -0.2
        assert brightness[label == 1].mean() > 0.2
