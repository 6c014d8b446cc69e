"""The two task models keep gantk's contract; the loss does what the paper says."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import normalize
from translate.testing import check_task_model

from gantk_example.cut import CUT, FastCUT
from gantk_example.patchnce import patch_nce
from gantk_example.projection import places_in


@pytest.mark.parametrize("cls", [CUT, FastCUT])
def test_contract(cls: type[CUT]) -> None:
    check_task_model(cls(width=2, blocks=2, patches=4, projection=4, patch_layers=1))


def test_patches_alike_give_the_loss_of_a_guess() -> None:
    same = normalize(torch.ones(2, 5, 3), dim=2)
    places = torch.arange(5).expand(2, -1)
    assert patch_nce(same, same, places, 0.07).item() == pytest.approx(math.log(5), abs=1e-5)


def test_a_place_that_was_drawn_twice_is_no_negative_of_itself() -> None:
    same = normalize(torch.ones(1, 5, 3), dim=2)
    assert patch_nce(same, same, torch.tensor([[0, 1, 2, 3, 3]]), 1.0).item() == pytest.approx(
        (3 * math.log(5) + 2 * math.log(4)) / 5, abs=1e-5
    )


def test_places_cover_the_layer_and_stay_in_it() -> None:
    layer = torch.zeros(1, 1, 2, 3)
    draw = torch.tensor([[-1.0, -0.5, 0.0, 0.5, 1.0]])
    assert places_in(layer, draw).tolist() == [[0, 1, 3, 4, 5]]
