"""UVCGAN against a plain loop written here with torch's own transformer layers."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, instance_norm, interpolate, l1_loss, leaky_relu, mse_loss

from gantk_uvcgan import UVCGAN
from plain_loop import engine_of, fp64, given
from translate.cli.app import run
from translate.contract import DataSpec
from translate.errors import UsageError
from translate.generators.unet_vit import UnetVitGenerator
from translate.training.engine import Engine

SIZE = 32
DATA = DataSpec(size=SIZE, channels={"a": 3, "b": 3})
SMALL = UVCGAN(width=8, d_width=4, blocks=2, patch_layers=1)
ROLES = ("g_ab", "g_ba", "d_a", "d_b")


class PlainGenerator(nn.Module):
    """The paper's figure 1, read from the top down, with the weights of ours."""

    def __init__(self, ours: UnetVitGenerator) -> None:
        super().__init__()
        width = ours.head[0].in_channels
        channels = [width, width, 2 * width, 4 * width, 8 * width]
        self.stem = nn.Conv2d(3, width, 3, 1, 1)
        self.encoders, self.decoders = nn.ModuleList(), nn.ModuleList()
        for level in range(4):
            fine, coarse = channels[level], channels[level + 1]
            convs = [
                nn.Conv2d(fine, coarse, 3, 1, 1),
                nn.Conv2d(coarse, coarse, 3, 1, 1),
                nn.Conv2d(coarse, coarse, 2, 2),
            ]
            self.encoders.append(nn.ModuleList(convs))
            convs = [nn.Conv2d(coarse, coarse, 3, 1, 1), nn.Conv2d(2 * coarse, coarse, 3, 1, 1)]
            self.decoders.append(nn.ModuleList([*convs, nn.Conv2d(coarse, fine, 3, 1, 1)]))
        inner = 8 * width
        self.fourier = nn.Linear(2, inner)
        self.project = nn.Linear(2 * inner, inner)
        self.layers = nn.ModuleList()
        for _ in ours.transformer.blocks:
            attention = nn.MultiheadAttention(inner, max(1, inner // 64), batch_first=True)
            norms = [nn.LayerNorm(inner), nn.LayerNorm(inner)]
            self.layers.append(
                nn.ModuleList([norms[0], attention, norms[1], nn.Linear(inner, 4 * inner), nn.Linear(4 * inner, inner)])
            )
        self.alphas = nn.ParameterList(nn.Parameter(torch.zeros(())) for _ in ours.transformer.blocks)
        self.back = nn.Linear(inner, inner)
        self.last = nn.Conv2d(width, 3, 1)
        with torch.no_grad():
            for mine, theirs in self.pairs(ours):
                mine.copy_(theirs)

    def pairs(self, ours: UnetVitGenerator) -> list[tuple[Tensor, Tensor]]:
        modules: list[tuple[nn.Module, nn.Module]] = [(self.stem, ours.stem[0]), (self.last, ours.head[0])]
        for level in range(4):
            down, up = ours.down[level], ours.up[level]
            modules += zip(self.encoders[level], (down[1], down[4], ours.shrink[level]), strict=True)
            modules += zip(self.decoders[level], (ours.enlarge[level][1], up[1], up[4]), strict=True)
        transformer = ours.transformer
        modules += [
            *((self.fourier, transformer.place), (self.project, transformer.inputs), (self.back, transformer.output))
        ]
        numbers: list[tuple[Tensor, Tensor]] = list(
            zip(self.alphas, (b.alpha for b in transformer.blocks), strict=True)
        )
        for layer, block in zip(self.layers, transformer.blocks, strict=True):
            modules += [(layer[0], block.norm1), (layer[2], block.norm2)]
            modules += [(layer[3], block.perceptron[0]), (layer[4], block.perceptron[2])]
            modules += [(layer[1].out_proj, block.attention.output)]
            numbers.append((layer[1].in_proj_weight, block.attention.inputs.weight))
            numbers.append((layer[1].in_proj_bias, block.attention.inputs.bias))
        for mine, theirs in modules:
            numbers += zip(mine.parameters(), theirs.parameters(), strict=True)
        return numbers

    def forward(self, image: Tensor) -> Tensor:
        y = leaky_relu(self.stem(image))
        levels = []
        for first, second, half in self.encoders:
            y = leaky_relu(second(instance_norm(leaky_relu(first(instance_norm(y))))))
            levels.append(y)
            y = half(y)
        count, channels, height, width = y.shape
        rows = [
            [2 * column / (width - 1) - 1, 2 * row / (height - 1) - 1]
            for row in range(height)
            for column in range(width)
        ]
        place = torch.sin(self.fourier(torch.tensor(rows, dtype=y.dtype)))
        tokens = y.reshape(count, channels, -1).permute(0, 2, 1)
        tokens = self.project(torch.cat([place.repeat(count, 1, 1), tokens], 2))
        for (norm1, attention, norm2, wide, narrow), alpha in zip(self.layers, self.alphas, strict=True):
            normed = norm1(tokens)
            tokens = tokens + alpha * attention(normed, normed, normed, need_weights=False)[0]
            tokens = tokens + alpha * narrow(gelu(wide(norm2(tokens))))
        y = self.back(tokens).permute(0, 2, 1).reshape(count, channels, height, width)
        for (enlarge, first, second), skip in zip(reversed(self.decoders), reversed(levels), strict=True):
            y = torch.cat([enlarge(interpolate(y, scale_factor=2.0)), skip], 1)
            y = leaky_relu(second(instance_norm(leaky_relu(first(instance_norm(y))))))
        return torch.tanh(self.last(y))


def plain_discriminator(ours: nn.Module) -> nn.Sequential:
    """As CycleGAN's, with one strided layer."""
    plain = nn.Sequential(
        *(nn.Conv2d(3, 4, 4, 2, 1), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(4, 8, 4, 1, 1), nn.InstanceNorm2d(8), nn.LeakyReLU(0.2)),
        nn.Conv2d(8, 1, 4, 1, 1),
    )
    with torch.no_grad():
        for mine, theirs in zip(plain.parameters(), ours.parameters(), strict=True):
            mine.copy_(theirs)
    return plain


class PlainLoop:
    def __init__(self, engine: Engine) -> None:
        nets = engine.nets
        self.g_ab, self.g_ba = PlainGenerator(nets.g_ab), PlainGenerator(nets.g_ba)
        self.d_a, self.d_b = plain_discriminator(nets.d_a), plain_discriminator(nets.d_b)
        adam = {"lr": 1e-4, "betas": (0.5, 0.99)}
        self.of_g = torch.optim.Adam([*self.g_ab.parameters(), *self.g_ba.parameters()], **adam)
        self.of_d = torch.optim.Adam([*self.d_a.parameters(), *self.d_b.parameters()], **adam)

    def step(self, a: Tensor, b: Tensor, share: Tensor) -> None:
        fake_b, fake_a = self.g_ab(a), self.g_ba(b)
        judged_a, judged_b = self.d_a(fake_a), self.d_b(fake_b)
        loss = mse_loss(judged_a, torch.ones_like(judged_a)) + mse_loss(judged_b, torch.ones_like(judged_b))
        loss = loss + 5 * (l1_loss(self.g_ba(fake_b), a) + l1_loss(self.g_ab(fake_a), b))
        loss = loss + 2.5 * (l1_loss(self.g_ba(a), a) + l1_loss(self.g_ab(b), b))
        self.of_g.zero_grad()
        loss.backward()
        self.of_g.step()
        self.of_d.zero_grad()
        for d, real, fake in ((self.d_a, a, fake_a.detach()), (self.d_b, b, fake_b.detach())):
            on_real, on_fake = d(real), d(fake)
            loss = (mse_loss(on_real, torch.ones_like(on_real)) + mse_loss(on_fake, torch.zeros_like(on_fake))) / 2
            weights = share.reshape(-1, 1, 1, 1)
            # The paper's pictures are in [0, 1]: z = (x + 1) / 2, and its penalty is on the gradient with respect to z.
            z = ((weights * real + (1 - weights) * fake) + 1) / 2
            z.requires_grad_()
            scores = d(2 * z - 1).mean(dim=(1, 2, 3)).sum()
            (gradient,) = torch.autograd.grad(scores, z, create_graph=True)
            norm = gradient.flatten(1).norm(dim=1)
            loss = loss + (0.1 / 100**2 * (norm - 100) ** 2).mean()
            loss.backward()
        self.of_d.step()


@pytest.fixture
def engine() -> Engine:
    with fp64():
        engine = engine_of(SMALL, DATA, 2, ema=0.0)
        with torch.no_grad():  # at 0, as they begin, the blocks do nothing
            for generator in (engine.nets.g_ab, engine.nets.g_ba):
                for block in generator.transformer.blocks:
                    block.alpha.fill_(0.3)
    return engine


def pictures(seed: int) -> dict[str, Tensor]:
    a, b = torch.rand(2, 2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1
    return {"a": a, "b": b}


def test_updates_equal_the_plain_loop(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with fp64():
        plain, seen = PlainLoop(engine), given(engine, monkeypatch)
        for step in range(2):
            batch = pictures(step)
            engine.train_step(lambda batch=batch: dict(batch), 0.0)
            plain.step(**batch, share=(seen[-1]["between"] + 1) / 2)
        for role in ("g_ab", "g_ba"):
            for mine, ours in getattr(plain, role).pairs(engine.nets[role]):
                assert (mine - ours).abs().max() < 1e-6 * 1e-4
        for role in ("d_a", "d_b"):
            for mine, ours in zip(getattr(plain, role).parameters(), engine.nets[role].parameters(), strict=True):
                assert (mine - ours).abs().max() < 1e-6 * 1e-4


def test_pre_training_fills_hidden_squares_before_the_game(monkeypatch: pytest.MonkeyPatch) -> None:
    with fp64():
        engine = engine_of(dataclasses.replace(SMALL, pretrain=2), DATA, 2, ema=0.0)
        seen = given(engine, monkeypatch)
        plain = {role: PlainGenerator(engine.nets[role]) for role in ("g_ab", "g_ba")}
        adam = torch.optim.Adam([p for net in plain.values() for p in net.parameters()], lr=1e-4, betas=(0.5, 0.99))
        judges = [p.clone() for role in ("d_a", "d_b") for p in engine.nets[role].parameters()]
        for step in range(2):
            batch = pictures(step)
            engine.train_step(lambda batch=batch: dict(batch), 0.0)
            loss = torch.zeros(())
            for name in ("a", "b"):
                hidden = seen[-1][f"squares_{name}"] < -0.2
                side = SIZE // 8
                mask = hidden.repeat_interleave(side, 2).repeat_interleave(side, 3)
                assert 0.2 < mask.double().mean() < 0.6
                for net in plain.values():
                    loss = loss + l1_loss(net(batch[name].masked_fill(mask, 0.0)), batch[name])
            adam.zero_grad()
            loss.backward()
            adam.step()
        for role, net in plain.items():
            assert all((mine - ours).abs().max() < 1e-10 for mine, ours in net.pairs(engine.nets[role]))
        now = [p for role in ("d_a", "d_b") for p in engine.nets[role].parameters()]
        assert all(torch.equal(*pair) for pair in zip(judges, now, strict=True))
        assert [phase.start for phase in engine.task.phases(DATA)] == [0, 2, 2]


def test_any_sides_that_are_multiples_of_16_are_translated() -> None:
    generator = UnetVitGenerator(3, 1, 8, 1).eval()
    with torch.no_grad():
        assert generator(torch.rand(1, 3, 48, 80)).shape == (1, 1, 48, 80)


def test_the_papers_network_has_the_papers_size() -> None:
    with torch.device("meta"):
        generator = UnetVitGenerator(3, 3)
    assert generator.transformer.blocks[0].attention.heads == 6
    assert len(generator.transformer.blocks) == 12
    assert generator.transformer.output.in_features == 384


@pytest.mark.parametrize(
    ("task", "data", "words"),
    [
        (SMALL, DataSpec(size=40, channels={"a": 3, "b": 3}), "--size 40: expected a multiple of 16, 32 or more"),
        (
            dataclasses.replace(SMALL, identity=0.0, pretrain=3),
            DataSpec(size=32, channels={"a": 3, "b": 1}),
            "pretrain 3: the domains have 3 and 1 channels; set pretrain to 0",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(task: UVCGAN, data: DataSpec, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        task.networks(data)
    assert str(caught.value) == words


def test_width_must_fit_the_heads() -> None:
    with pytest.raises(UsageError, match="width 12: expected a multiple of 8"):
        UVCGAN(width=12)


def test_moments_have_the_bounds_that_those_of_every_model_have(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "uvcgan", "--a", "a", "--b", "b", "--betas", "2", "0.9"]) == 2
    assert "--betas 2 0.9: expected 2 values (a number >= 0 and < 1" in capsys.readouterr().err
