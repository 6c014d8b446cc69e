"""Every model of pictures from noise trains with augmented discriminators, in all its forms."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from plain_loop import engine_of, images
from translate.contract import DataSpec
from translate.errors import UsageError
from translate.plugins import load

SPEC = DataSpec(32, {"image": 3}, {"label": ("ship", "horse", "cat")})
FORMS: list[tuple[str, dict[str, Any]]] = [
    ("gan", {"g_widths": (8,), "d_widths": (4,)}),
    ("dcgan", {"width": 4, "feature_matching": True}),
    ("dcgan", {"width": 4, "unroll": 2, "simultaneous": True}),
    ("dcgan", {"width": 4, "loss": "lsgan"}),
    ("cgan", {"width": 4, "network": "conv", "projection": True}),
    ("lsgan", {"width": 4}),
    ("sagan", {"width": 2, "latent": 8}),
    ("biggan", {"width": 2, "latent": 8, "embedding": 3}),
]


@pytest.mark.parametrize(("name", "form"), FORMS)
@pytest.mark.parametrize("flag", ["diffaug", "ada"])
def test_a_step_with_augmentation(name: str, form: dict[str, Any], flag: str) -> None:
    engine = engine_of(load(name)(**form), SPEC, **{flag: True})
    batch = {"image": images(SPEC), "label": torch.tensor([2, 0, 1, 2])}
    for _ in range(2):
        engine.train_step(lambda: batch, 0.0)
    engine.read()


def test_a_critic_whose_scores_have_no_zero_cannot_lead_adaptive_augmentation() -> None:
    engine = engine_of(load("wgan-gp")(width=2, critic=1), SPEC, ada=True)
    with pytest.raises(UsageError, match="does not report the scores of d"):
        engine.train_step(lambda: {"image": images(SPEC)}, 0.0)
