"""PSNR and SSIM as the super-resolution papers measure them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from translate.metrics.restoration import edge_agreement, l1, luma, psnr, ssim


def signed(grey_levels: Tensor) -> Tensor:
    return grey_levels / 127.5 - 1


def test_luma_is_that_of_rgb2ycbcr() -> None:
    colours = (
        torch.tensor([[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]).view(5, 3, 1, 1).double()
    )
    expected = torch.tensor([16.0, 235.0, 81.481, 144.553, 40.966]).double()
    torch.testing.assert_close(luma(colours).flatten(), expected)
    grey = torch.rand(2, 1, 3, 3)
    assert luma(grey) is grey


def test_psnr_of_a_known_error() -> None:
    target = torch.full((2, 3, 20, 20), 100.0)
    output = target + torch.tensor([2.0, 8.0]).view(2, 1, 1, 1)
    expected = [10 * math.log10(255**2 / error**2) for error in (2, 8)]
    assert psnr(signed(output), signed(target), channel="rgb").tolist() == pytest.approx(expected)
    on_luma = [10 * math.log10(255**2 / (error * 219 / 255) ** 2) for error in (2, 8)]
    assert psnr(signed(output), signed(target)).tolist() == pytest.approx(on_luma)


def test_the_border_is_left_out() -> None:
    target = torch.zeros(1, 1, 12, 12)
    output = target.clone()
    output[..., :4, :] = output[..., :, -4:] = 1
    assert psnr(output, target, border=4).item() == math.inf
    assert psnr(output, target, border=3).item() < 20


def test_outputs_are_clipped_and_rounded_first() -> None:
    target = signed(torch.full((1, 1, 4, 4), 255.0))
    assert psnr(target + 0.5, target).item() == math.inf
    assert psnr(target - 0.4 / 127.5, target).item() == math.inf


def test_ssim() -> None:
    torch.manual_seed(0)
    target = torch.rand(2, 1, 24, 24) * 2 - 1
    assert ssim(target, target).tolist() == pytest.approx([1.0, 1.0])
    noisy = (target + 0.3 * torch.randn_like(target)).clamp(-1, 1)
    assert ssim(noisy, target).max() < 0.97
    flat = torch.zeros(1, 1, 12, 12)  # grey level 128
    c1 = (0.01 * 255) ** 2
    expected = (2 * 128 * 191 + c1) / (128**2 + 191**2 + c1)
    assert ssim(signed(torch.full_like(flat, 128)), signed(torch.full_like(flat, 191))).item() == pytest.approx(
        expected
    )


def test_ssim_window_by_window() -> None:
    torch.manual_seed(1)
    target = torch.randint(0, 256, (1, 1, 13, 12)).double()
    output = (target + 40 * torch.randn_like(target)).clamp(0, 255).round()
    taps = [math.exp(-(offset**2) / 4.5) for offset in range(-5, 6)]
    window = torch.tensor([[a * b for a in taps] for b in taps]).double()
    window /= window.sum()
    found = []
    for y in range(3):
        for x in range(2):
            a, b = output[0, 0, y : y + 11, x : x + 11], target[0, 0, y : y + 11, x : x + 11]
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
            both = (window * (a - mean_a) * (b - mean_b)).sum()
            top = (2 * mean_a * mean_b + 2.55**2) * (2 * both + 7.65**2)
            found.append(top / ((mean_a**2 + mean_b**2 + 2.55**2) * (var_a + var_b + 7.65**2)))
    expected = torch.stack(found).mean().item()
    assert ssim(signed(output), signed(target)).item() == pytest.approx(expected, abs=1e-9)


def test_what_cannot_be_compared() -> None:
    image = torch.zeros(1, 3, 8, 8)
    with pytest.raises(ValueError, match="different shapes"):
        psnr(image, image[..., 1:])
    with pytest.raises(ValueError, match="leaves nothing"):
        psnr(image, image, border=4)
    with pytest.raises(ValueError, match="11 x 11"):
        ssim(image, image)


def test_l1_is_a_share_of_the_range() -> None:
    target = torch.zeros(2, 3, 4, 4)
    output = signed(torch.full((2, 3, 4, 4), 128 + 51.0))
    assert l1(output, target).tolist() == pytest.approx([0.2, 0.2])


def test_edges_agree_where_they_stay() -> None:
    torch.manual_seed(0)
    image = torch.rand(2, 3, 16, 16) * 2 - 1
    assert edge_agreement(image, image).tolist() == pytest.approx([1, 1])
    assert edge_agreement(-image * 0.5, image).tolist() == pytest.approx([1, 1])  # colours may change
    assert edge_agreement(image.flip(3), image).abs().max() < 0.5
    assert edge_agreement(torch.zeros_like(image), image).tolist() == [0, 0]
    with pytest.raises(ValueError, match="different sizes"):
        edge_agreement(image, image[..., 1:])
