"""Conditional GAN against plain loops, and its options."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from gantk_cgan import CGAN
from plain_loop import adam, assert_same, engine_of, fp64, given, images
from translate.contract import Batch, DataSpec
from translate.errors import UsageError

SPEC = DataSpec(28, {"image": 1}, {"label": ("zwei", "eins", "drei")})
LABELS = torch.tensor([2, 0, 1, 2])
Network = Callable[[Tensor, Tensor], Tensor]


def step(monkeypatch: pytest.MonkeyPatch, **form: Any) -> tuple[nn.ModuleDict, nn.ModuleDict, Tensor, Tensor]:
    """One step: the networks after it and before it, the images and the latents."""
    engine, real = engine_of(CGAN(latent=5, dropout=0.0, g_dropout=0.0, **form), SPEC), images(SPEC)
    seen = given(engine, monkeypatch)
    before = copy.deepcopy(engine.nets)
    engine.train_step(lambda: {"image": real, "label": LABELS}, 0.0)
    assert torch.equal(seen[0]["z"], seen[1]["z"])
    return engine.nets, before, real, seen[0]["z"]


def play(nets: nn.ModuleDict, g: Network, d: Network, real: Tensor, z: Tensor, *, hinge: bool = False) -> None:
    """One update of each of the plain networks."""
    g_adam, d_adam = adam(nets["g"]), adam(nets["d"])
    fake = g(z, LABELS)
    on_real, on_fake = d(real, LABELS), d(fake.detach(), LABELS)
    if hinge:
        loss = (1 - on_real).clamp(min=0).mean() + (1 + on_fake).clamp(min=0).mean()
    else:
        loss = bce(on_real, torch.ones_like(on_real)) + bce(on_fake, torch.zeros_like(on_fake))
    loss.backward()
    d_adam.step()
    on_fake = d(fake, LABELS)
    (-on_fake.mean() if hinge else bce(on_fake, torch.ones_like(on_fake))).backward()
    g_adam.step()


def test_perceptrons_equal_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks and step written out from section 4.1."""
    with fp64():
        nets, before, real, z = step(monkeypatch, width=6)
        gw, dw = (list(before[role].parameters()) for role in ("g", "d"))
        hot = torch.eye(3)

        def maxout(x: Tensor, weight: Tensor, bias: Tensor, pieces: int) -> Tensor:
            return (x @ weight.T + bias).reshape(len(x), -1, pieces).max(2).values

        def g(z: Tensor, label: Tensor) -> Tensor:
            one, two = (z @ gw[0].T + gw[1]).relu(), (hot[label] @ gw[2].T + gw[3]).relu()
            joint = (torch.cat([one, two], 1) @ gw[4].T + gw[5]).relu()
            return (joint @ gw[6].T + gw[7]).tanh().reshape(-1, 1, 28, 28)

        def d(image: Tensor, label: Tensor) -> Tensor:
            both = [maxout(image.flatten(1), dw[0], dw[1], 5), maxout(hot[label], dw[2], dw[3], 5)]
            return (maxout(torch.cat(both, 1), dw[4], dw[5], 4) @ dw[6].T + dw[7]).flatten()

        play(before, g, d, real, z)
    assert_same(nets["g"], before["g"])
    assert_same(nets["d"], before["d"])


def with_planes(x: Tensor, label: Tensor, weight: float = 1.0) -> Tensor:
    planes = weight * torch.eye(3)[label].reshape(len(x), 3, *[1] * (x.dim() - 2))
    return torch.cat([x, planes.expand(len(x), 3, *x.shape[2:])], 1)


def test_convolutions_see_the_class_on_planes(monkeypatch: pytest.MonkeyPatch) -> None:
    with fp64():
        nets, before, real, z = step(monkeypatch, network="conv", width=4)
        g, d = before["g"].net, before["d"].net
        play(before, lambda z, y: g(with_planes(z, y, 5**0.5)), lambda x, y: d(with_planes(x, y)), real, z)
    assert_same(nets["g"], before["g"])
    assert_same(nets["d"], before["d"])


def test_projection_equals_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    with fp64():
        nets, before, real, z = step(monkeypatch, network="conv", width=4, projection=True, loss="hinge")
        g, judge = before["g"].net, before["d"]

        def d(x: Tensor, y: Tensor) -> Tensor:
            phi = judge.features(x).sum((2, 3))
            own = phi @ judge.head.weight[0] + judge.head.bias
            return own + (F.one_hot(y, 3).double() @ judge.rows.weight * phi).sum(1)

        play(before, lambda z, y: g(with_planes(z, y, 5**0.5)), d, real, z, hinge=True)
    assert_same(nets["g"], before["g"])
    assert_same(nets["d"], before["d"])


def test_the_papers_widths() -> None:
    spec = DataSpec(28, {"image": 1}, {"label": tuple("0123456789")})
    nets = engine_of(CGAN(), spec).nets
    linear = {role: [tuple(m.weight.shape) for m in nets[role].modules() if isinstance(m, nn.Linear)] for role in nets}
    assert linear["g"] == [(200, 100), (1000, 10), (1200, 1200), (784, 1200)]
    assert linear["d"] == [(240 * 5, 784), (50 * 5, 10), (240 * 4, 290), (1, 240)]
    assert [m.p for m in nets.modules() if isinstance(m, nn.Dropout)] == [0.5] * 6


def test_the_direction_is_conditioned_on_the_class() -> None:
    (direction,) = CGAN().directions(SPEC)
    label = direction.conditions["label"]
    assert (label.choices, label.encode("eins").item()) == (("zwei", "eins", "drei"), 1)
    with pytest.raises(ValueError, match=r"did you mean drei\?"):
        label.encode("dre")
    nets = engine_of(CGAN(latent=5, width=6), SPEC).nets.eval()
    x = Batch({"z": torch.zeros(3, 5), "label": torch.tensor([0, 1, 1])})
    pictures = direction.run(nets, x)
    assert torch.equal(pictures[1], pictures[2])
    assert not torch.equal(pictures[0], pictures[1])


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"projection": True}, "projection: for convolutions alone"),
        ({"spectral": True}, "spectral: for convolutions alone"),
        ({"loss": "wasserstein"}, "wasserstein: the critic needs a bound"),
    ],
)
def test_what_cannot_be_is_refused(form: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CGAN(**form)
