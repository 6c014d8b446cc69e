"""The task model keeps gantk's contract; its turn is a turn."""

from __future__ import annotations

import torch
from translate.testing import check_task_model

from gantk_example.gcgan import GcGAN, turned


def test_contract() -> None:
    check_task_model(GcGAN(width=2, blocks=1, patch_layers=1))


def test_a_turn_is_clockwise_and_four_are_none() -> None:
    picture = torch.arange(4.0).reshape(1, 1, 2, 2)
    assert turned(picture).flatten().tolist() == [2, 0, 3, 1]
    assert torch.equal(turned(turned(turned(turned(picture)))), picture)
