"""The degradation of Real-ESRGAN: shapes, ranges, seeds."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from translate.data import degrade as module
from translate.data.degrade import Degradation, degrade
from translate.data.lowhigh import LowHigh
from translate.errors import UsageError
from translate.layers.sharpen import sharpened


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


def test_exponents_are_below_and_above_one_equally_often() -> None:
    dice = module._Dice(seeded(0), torch.device("cpu"))
    drawn = [module._exponent(0.5, 4, dice) for _ in range(2000)]
    assert min(drawn) >= 0.5
    assert max(drawn) <= 4
    assert abs(sum(value < 1 for value in drawn) - 1000) < 100
    plateau = [module._exponent(1, 2, dice) for _ in range(2000)]
    assert abs(plateau.count(1.0) - 1000) < 100
    assert all(1 <= value <= 2 for value in plateau)


def test_the_final_sinc_filter_never_cuts_below_a_third(monkeypatch: pytest.MonkeyPatch) -> None:
    cuts: list[float] = []
    real = module._Dice.uniform

    def noted(self: module._Dice, low: float, high: float) -> float:
        if high == math.pi:
            cuts.append(low)
        return real(self, low, high)

    monkeypatch.setattr(module._Dice, "uniform", noted)
    dice = module._Dice(seeded(0), torch.device("cpu"))
    for _ in range(40):
        module._sinc_kernel(dice, always=3)
    assert set(cuts) == {math.pi / 3}
    cuts.clear()
    for _ in range(40):
        module._sinc_kernel(dice)
    assert set(cuts) == {math.pi / 3, math.pi / 5}


def test_borders_are_mirrored() -> None:
    x, kernel = torch.rand(1, 3, 12, 12), torch.rand(1, 7, 7)
    padded = torch.nn.functional.pad(x, (3, 3, 3, 3), mode="reflect")
    expected = torch.nn.functional.conv2d(padded.transpose(0, 1), kernel[None]).transpose(0, 1)
    torch.testing.assert_close(module._filter(x, kernel[0]), expected)
    assert module._filter(torch.rand(1, 3, 2, 2), kernel[0]).shape == (1, 3, 2, 2)


def test_poisson_noise_depends_on_the_levels_of_the_picture() -> None:
    quiet = Degradation(degrade_poisson=(1, 1, 1, 1), degrade_grey=(0, 0)).order(0)

    def deviation(x: Tensor) -> float:
        drawn = [module._noise(x, quiet, module._Dice(seeded(seed), torch.device("cpu"))) - x for seed in range(60)]
        return max(
            noise.std().item() for noise in drawn
        )  # of the draws, those that are Poisson; Gaussian ones are less

    ramp = torch.linspace(0.4, 0.6, 256).view(1, 1, 16, 16)
    few = torch.full((1, 1, 16, 16), 0.5)
    assert deviation(few) > 0.4  # one photon
    assert 0.05 < deviation(ramp) < 0.14  # as many as levels, 64 of them


def test_ranges_are_settings() -> None:
    still = Degradation(
        degrade_blur=(0, 0),
        degrade_sinc=(0, 0, 0),
        degrade_resize=(0, 0, 0, 0),
        degrade_gaussian=(0.01, 0.01, 0.01, 0.01),
        degrade_poisson=(0.001, 0.001, 0.001, 0.001),
        degrade_jpeg=(100, 100, 100, 100),
    )
    assert "--degrade-blur" in still.changed()
    assert Degradation().changed() == []
    smooth = torch.linspace(-0.8, 0.8, 32).view(1, 1, 1, 32).expand(2, 3, 32, 32)
    low = degrade(smooth, 4, seeded(1), still)
    plain = torch.nn.functional.interpolate(smooth, scale_factor=0.25, mode="area")
    assert (low - plain).abs().max() < 0.12
    for flags, message in (
        ({"degrade_sigma": (3, 1, 1, 2)}, "--degrade-sigma 3 1 1 2: expected the least value before the largest"),
        ({"degrade_resize": (0.6, 0.6, 0, 0)}, "--degrade-resize 0.6 0.6 0 0: expected shares of at most 1"),
    ):
        with pytest.raises(UsageError, match=message):
            LowHigh(hr=(Path("x"),), degradation="real", **flags)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="--degrade-blur: expected --degradation real"):
        LowHigh(hr=(Path("x"),), degrade_blur=(0, 0))


def test_kernels_have_the_authors_shares_and_others_by_the_setting() -> None:
    dice = module._Dice(seeded(0), torch.device("cpu"))
    weights = Degradation().degrade_kernels
    drawn = [dice.weighted(weights) for _ in range(4000)]
    for number, weight in enumerate(weights):
        assert abs(drawn.count(number) / 4000 - weight) < 0.03
    assert {dice.weighted((0, 0, 0, 2, 0, 0)) for _ in range(50)} == {3}
    plateau = Degradation(degrade_kernels=(0, 0, 0, 0, 1, 0), degrade_sigma=(2, 2, 2, 2), degrade_shape=(1, 1, 2, 2))
    kernel = module._blur_kernel(plateau.order(0), dice)
    middle = len(kernel) // 2
    # Equation 4 of the paper's generalisation: 1 / (1 + (r / sigma) ** (2 beta)), beta 2.
    assert float(kernel[middle, middle + 2] / kernel[middle, middle]) == pytest.approx(1 / 2, rel=1e-4)
    torch.testing.assert_close(kernel, kernel.T)
    with pytest.raises(UsageError, match="--degrade-kernels: expected one weight above 0"):
        LowHigh(hr=(Path("x"),), degradation="real", degrade_kernels=(0, 0, 0, 0, 0, 0))


def test_a_generalised_gaussian_s_exponent_bends_it() -> None:
    dice = module._Dice(seeded(0), torch.device("cpu"))
    wide = Degradation(degrade_kernels=(0, 0, 1, 0, 0, 0), degrade_sigma=(2, 2, 2, 2), degrade_shape=(0.5, 0.5, 1, 1))
    kernel = module._blur_kernel(wide.order(0), dice)
    middle = len(kernel) // 2
    # exp(-(r / sigma) ** (2 beta) / 2) with beta 1/2
    assert float(kernel[middle, middle + 2] / kernel[middle, middle]) == pytest.approx(math.exp(-1 / 2), rel=1e-4)


def test_degradation_begins_with_the_sharpened_picture() -> None:
    sharp, plain = (degrade(images(size=64), 2, seeded(4), Degradation(degrade_sharpen=yes)) for yes in (True, False))
    assert not torch.equal(sharp, plain)
    torch.testing.assert_close(
        sharp, degrade(sharpened(images(size=64)), 2, seeded(4), Degradation(degrade_sharpen=False))
    )


def test_scale_1_needs_something_to_restore() -> None:
    with pytest.raises(UsageError, match="--scale 1: expected --degradation real or --lr-images"):
        LowHigh(hr=(Path("x"),), scale=1)
    assert degrade(images(), 1, seeded(0)).shape == images().shape
