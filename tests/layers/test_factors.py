"""Closed-form directions: eigenvectors of the weights, the same everywhere, in step with what is loaded."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from gantk_r3gan import R3GAN
from gantk_stylegan2 import StyleGAN2
from translate.contract import Batch, DataSpec, TaskModel
from translate.layers.factors import MOST, Factors, principal
from translate.modelfile.model import build_nets

SPEC = DataSpec(16, {"image": 3})
SAMPLERS = [
    StyleGAN2(latent=6, width=8, mapping=2, base=64, most=8),
    StyleGAN2(latent=6, width=8, mapping=2, base=64, most=8, style="adain"),
    R3GAN(latent=6, width=8, blocks=1, group=4),
]


def test_directions_are_those_that_maps_stretch_most() -> None:
    torch.manual_seed(0)
    weights = [torch.randn(7, 4), torch.randn(5, 4)]
    found = principal(weights, 3)
    whole = torch.cat(weights).double()
    _, values, rows = torch.linalg.svd(whole)
    stretched = (found @ whole.T).norm(dim=1)
    torch.testing.assert_close(stretched, values[:3])
    torch.testing.assert_close((found * rows[:3]).sum(1).abs(), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(found @ found.T, torch.eye(3, dtype=torch.float64))


def test_the_sign_does_not_hang_on_the_solver() -> None:
    torch.manual_seed(1)
    weight = torch.randn(6, 5)
    for found in (principal([weight], 5), principal([-weight], 5), principal([weight.flip(0)], 5)):
        largest = found.gather(1, found.abs().argmax(1, keepdim=True))
        assert (largest > 0).all()
        torch.testing.assert_close(found, principal([weight], 5))


def test_there_are_no_more_than_numbers() -> None:
    assert Factors(3).directions.shape == (3, 3)
    assert Factors(64).directions.shape == (MOST, 64)


@pytest.mark.parametrize("task", SAMPLERS, ids=["modulation", "adain", "r3gan"])
def test_loading_renews_them_and_files_hold_none(task: Any) -> None:
    torch.manual_seed(2)
    nets, other = build_nets(task, SPEC, ["g"]), build_nets(task, SPEC, ["g"])
    assert not any("factors" in key for key in nets.state_dict())
    assert not nets.g.factors.directions.any()
    copied = copy.deepcopy(other)
    copied.load_state_dict(nets.state_dict())
    expected = copy.deepcopy(nets)
    expected.load_state_dict(nets.state_dict())
    torch.testing.assert_close(copied.g.factors.directions, expected.g.factors.directions)
    assert not other.g.factors.directions.any()  # a copy's weights are its own


@pytest.mark.parametrize("task", SAMPLERS, ids=["modulation", "adain", "r3gan"])
def test_a_distance_moves_along_its_direction(task: TaskModel) -> None:
    torch.manual_seed(3)
    nets = build_nets(task, SPEC, ["g"]).double()
    nets.load_state_dict({key: torch.randn_like(tensor) for key, tensor in nets.state_dict().items()})
    plain, edit = (each for each in task.directions(SPEC) if each.name in ("sample", "edit"))
    z = torch.randn(2, 6, dtype=torch.float64)
    given = {name: condition.encode(condition.default or "").expand(2) for name, condition in edit.conditions.items()}
    unmoved = plain.run(nets, Batch({"z": z, "truncation": torch.ones(2)}))
    torch.testing.assert_close(edit.run(nets, Batch({"z": z, **given})), unmoved)
    moved = edit.run(nets, Batch({"z": z, **given, "direction2": torch.tensor([3.0, 0.0])}))
    torch.testing.assert_close(moved[1], unmoved[1])
    assert (moved[0] - unmoved[0]).abs().max() > 1e-3
    g = nets.g
    step = 3 * g.factors.directions[1]
    direct = g(z + step) if isinstance(task, R3GAN) else g.synthesis(g.styles(z) + step)
    torch.testing.assert_close(moved[0], direct[0])
