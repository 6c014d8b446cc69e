"""Truncated latents, and batch norm with statistics for each truncation."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from translate.generators.biggan import ClassGenerator
from translate.layers.init import init_orthogonal
from translate.layers.standing import ROWS, StandingNorm, inverse_erf, kept_share, truncated


def test_the_inverse_of_the_error_function() -> None:
    x = torch.linspace(-0.99999, 0.99999, 10_001, dtype=torch.float64)
    torch.testing.assert_close(inverse_erf(x), torch.erfinv(x), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("limit", [0.1, 0.5, 1.0, 2.0])
def test_truncated_latents_have_the_truncated_normal_distribution(limit: float) -> None:
    """Against numbers that are drawn anew until they are small enough."""
    torch.manual_seed(0)
    ours = truncated(torch.randn(1, 200_000), kept_share(torch.tensor([limit])))[0]
    assert ours.abs().max() <= limit + 1e-5
    drawn = torch.randn(4_000_000)
    drawn = drawn[drawn.abs() <= limit]
    levels = torch.linspace(0.05, 0.95, 10)
    torch.testing.assert_close(ours.quantile(levels), drawn[:1_000_000].quantile(levels), rtol=0, atol=0.01 * limit)


def test_no_truncation_leaves_latents_as_they_are() -> None:
    z = torch.linspace(-3.5, 3.5, 29)[None]
    torch.testing.assert_close(truncated(z, kept_share(torch.tensor([4.0]))), z, rtol=0, atol=0.15)
    torch.testing.assert_close(truncated(z[:, 7:22], kept_share(torch.tensor([4.0]))), z[:, 7:22], rtol=0, atol=1e-3)


def test_rows_are_running_means_and_lie_on_a_line() -> None:
    norm, kinds = StandingNorm(2).double(), torch.arange(ROWS)[:, None]
    torch.manual_seed(0)
    for _ in range(20):
        for row in kinds:
            x = torch.randn(64, 2, 3, 3, dtype=torch.float64) * (1 + row) + 10 * row
            y = norm(x, row)
            torch.testing.assert_close(y.mean((0, 2, 3)), torch.zeros(2, dtype=torch.float64))
    torch.testing.assert_close(norm.mean[:, 0], 10.0 * kinds[:, 0].double(), rtol=0, atol=0.3)
    torch.testing.assert_close(norm.variance[:, 1].sqrt(), 1.0 + kinds[:, 0].double(), rtol=0.02, atol=0)
    norm.eval()
    x = torch.full((3, 2, 1, 1), 25.0, dtype=torch.float64)
    y = norm(x, torch.tensor([0.0, 2.5, ROWS - 1.0]))
    assert y[1].abs().max() < 0.1
    assert y[0, 0].item() == pytest.approx(25, rel=0.05)
    assert y[2, 0].item() == pytest.approx(25 / ROWS - 10 * (ROWS - 1) / ROWS, rel=0.05)
    assert norm.norm.num_batches_tracked == 0


@pytest.mark.parametrize("truncation", [0.5, 4.0])
def test_a_generator_normalises_as_a_batch_of_that_truncation_does(truncation: float) -> None:
    """With weights that stand still, inference equals train mode on a large batch of such latents."""
    torch.manual_seed(0)
    net = ClassGenerator(1, 32, 2, latent=8, width=2, embedding=4, attention=16, init=init_orthogonal)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.5)
    with torch.no_grad():
        for _ in range(12 * ROWS):
            net.gather()
        kept = kept_share(torch.tensor([truncation]))
        z, label = torch.randn(256, 8), torch.arange(256) % 2
        expected = net(truncated(z, kept), label)
        found = net.eval()(z, label, torch.full((256,), truncation))
        other = net(z, label, torch.full((256,), 0.1))
    apart = (found - expected).square().mean().sqrt()
    assert apart < 0.1
    assert (found - other).square().mean().sqrt() > 3 * apart


def test_probes_are_the_same_on_every_process_and_not_in_a_file() -> None:
    nets = []
    for _ in range(2):
        torch.manual_seed(5)
        nets.append(ClassGenerator(1, 32, 2, latent=8, width=2, embedding=4, attention=0, init=init_orthogonal))
    assert torch.equal(nets[0].probes, nets[1].probes)
    assert "probes" not in nets[0].state_dict()
    assert math.isclose(nets[0].probes.std().item(), 1, rel_tol=0.1)
