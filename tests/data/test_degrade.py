"""The degradation of Real-ESRGAN: shapes, ranges, seeds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from translate.data.degrade import degrade


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 3, channels: int = 3, size: int = 32) -> Tensor:
    return torch.rand(count, channels, size, size, generator=seeded(9)) * 2 - 1


@pytest.mark.parametrize(("channels", "size", "scale"), [(3, 32, 4), (1, 32, 2), (3, 24, 3), (1, 16, 8)])
def test_shape_and_range(channels: int, size: int, scale: int) -> None:
    for seed in range(6):  # different branches
        low = degrade(images(channels=channels, size=size), scale, seeded(seed))
        assert low.shape == (3, channels, size // scale, size // scale)
        assert low.dtype == torch.float32
        assert low.isfinite().all()
        assert low.abs().max() <= 1
        grey_levels = (low + 1) * 127.5
        torch.testing.assert_close(grey_levels, grey_levels.round(), rtol=0, atol=1e-3)


def test_a_function_of_the_seed_alone() -> None:
    first = degrade(images(), 4, seeded(1))
    torch.rand(5)  # the global generator has no say
    torch.testing.assert_close(degrade(images(), 4, seeded(1)), first, rtol=0, atol=0)
    assert not torch.equal(degrade(images(), 4, seeded(2)), first)


def test_each_image_suffers_in_its_own_way() -> None:
    same = images(1).expand(3, -1, -1, -1)
    low = degrade(same, 4, seeded(1))
    assert not torch.equal(low[0], low[1])
    assert not torch.equal(low[1], low[2])


def test_the_picture_is_still_there() -> None:
    """Dark left half, light right half: whatever happens, the means stay in order."""
    picture = torch.full((8, 3, 64, 64), -0.6)
    picture[..., 32:] = 0.6
    low = degrade(picture, 4, seeded(3))
    assert (low[..., 9:].mean((1, 2, 3)) - low[..., :7].mean((1, 2, 3)) > 0.6).all()
    assert low.mean().abs() < 0.1  # also not shifted


def test_no_gradient_flows() -> None:
    assert not degrade(images().requires_grad_(), 4, seeded(0)).requires_grad
