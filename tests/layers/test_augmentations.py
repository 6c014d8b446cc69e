"""Differentiable augmentations against arithmetic by hand; the probability that adapts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from translate.layers import ada, diffaug


def pictures(count: int = 3, channels: int = 3, height: int = 8, width: int = 12) -> Tensor:
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1


def numbers(count: int, how_many: int, seed: int = 1) -> Tensor:
    return torch.rand(count, how_many, generator=torch.Generator().manual_seed(seed))


def test_diffaug_equals_the_paper_written_out() -> None:
    x, u = pictures(), numbers(3, diffaug.NUMBERS)
    result = diffaug.diff_augment(x, u)
    for number in range(3):
        bright, saturation, contrast, down, right, top, left = u[number].tolist()
        image = x[number] + bright - 0.5
        grey = image.mean(0, keepdim=True)
        image = grey + 2 * saturation * (image - grey)
        image = image.mean() + (contrast + 0.5) * (image - image.mean())
        moved = torch.zeros_like(image)
        dy, dx = int(down * 3) - 1, int(right * 5) - 2
        for row in range(8):
            for column in range(12):
                if 0 <= row - dy < 8 and 0 <= column - dx < 12:
                    moved[:, row, column] = image[:, row - dy, column - dx]
        first_row, first_column = int(top * 9) - 2, int(left * 13) - 3
        moved[:, max(0, first_row) : max(0, first_row + 4), max(0, first_column) : max(0, first_column + 6)] = 0
        torch.testing.assert_close(result[number], moved, rtol=0, atol=1e-5)


def test_ada_at_probability_zero_changes_nothing() -> None:
    x = pictures()
    torch.testing.assert_close(ada.ada_augment(x, numbers(3, ada.NUMBERS), torch.zeros(())), x, rtol=0, atol=1e-5)


def test_ada_moves_whole_pixels_and_flips_exactly() -> None:
    x, u = pictures(1), torch.full((1, ada.NUMBERS), 0.999)
    happens, amounts = u[:, : sum(ada.HAPPENS)], u[:, sum(ada.HAPPENS) :]
    happens[0, 0], amounts[0, 0] = 0.0, 0.0  # flip
    flipped = ada.ada_augment(x, u, torch.tensor(0.5))
    torch.testing.assert_close(flipped, x.flip(3), rtol=0, atol=1e-5)
    happens[0, 0], happens[0, 2], amounts[0, 2], amounts[0, 3] = 0.999, 0.0, 0.5, 1.0  # one pixel along the height
    moved = ada.ada_augment(x, u, torch.tensor(0.5))
    torch.testing.assert_close(moved[:, :, :-1], x[:, :, 1:], rtol=0, atol=1e-5)
    torch.testing.assert_close(moved[:, :, -1], x[:, :, -1], rtol=0, atol=1e-5)  # reflected at the edge


def test_ada_turns_hue_about_grey() -> None:
    grey, u = torch.full((1, 3, 4, 4), 0.3), torch.full((1, ada.NUMBERS), 0.999)
    u[0, ada.HAPPENS[0] + 3] = 0.0
    torch.testing.assert_close(ada.ada_augment(grey, u, torch.tensor(0.5)), grey, rtol=0, atol=1e-5)
    x = pictures(1)
    turned = ada.ada_augment(x, u, torch.tensor(0.5))
    torch.testing.assert_close(turned.mean(1), x.mean(1), rtol=0, atol=1e-5)
    torch.testing.assert_close(turned.square().sum(1), x.square().sum(1), rtol=0, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize("kind", ["diffaug", "ada"])
def test_gradients_reach_the_images_twice(kind: str, channels: int) -> None:
    x = pictures(2, channels).requires_grad_(True)
    augment: Callable[[Tensor], Tensor] = (
        (lambda images: diffaug.diff_augment(images, numbers(2, diffaug.NUMBERS)))
        if kind == "diffaug"
        else (lambda images: ada.ada_augment(images, numbers(2, ada.NUMBERS), torch.tensor(0.9)))
    )
    (gradient,) = torch.autograd.grad(augment(x).square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), x)
    assert gradient.abs().sum() > 0
    assert second.abs().sum() > 0


def test_the_probability_follows_the_sign() -> None:
    state = ada.Probability()
    for update in range(1, 9):
        state.follow(torch.tensor(0.9), batch=1000)
        assert state.p.item() == pytest.approx(update // 4 * 4 * 1000 / 500_000)
    for _ in range(12):
        state.follow(torch.tensor(0.1), batch=1000)
    assert state.p.item() == 0.0
