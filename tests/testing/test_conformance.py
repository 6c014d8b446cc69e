"""Every installed task model keeps the contract: built-ins and strangers alike."""

from __future__ import annotations

from typing import Any

import pytest

from translate import plugins
from translate.contract import TaskModel
from translate.testing import check_task_model

SMALL: dict[str, dict[str, Any]] = {
    "cyclegan": {"width": 4, "blocks": 1},
    "pix2pix": {"width": 4},
    "srgan": {"width": 4, "blocks": 1, "d_width": 4, "perceptual": "none", "warmup": 3},
    "esrgan": {"width": 4, "blocks": 1, "growth": 4, "d_width": 4, "perceptual": "none", "warmup": 3},
    "dcgan": {"width": 4, "latent": 6},
    "gan": {"g_widths": (8, 8), "d_widths": (4, 4), "latent": 5},
    "cgan": {"width": 8, "latent": 5},
    "wgan": {"width": 4, "latent": 6, "critic": 2, "critic_early": 3},
    "wgan-gp": {"width": 4, "latent": 6, "critic": 2},
    "lsgan": {"width": 4, "latent": 6},
    "sagan": {"width": 2, "latent": 6},
    "biggan": {"width": 2, "latent": 8, "embedding": 3},
    "cut": {"width": 2, "blocks": 2, "patches": 4, "projection": 4, "patch_layers": 1},
    "sincut": {"width": 1, "d_width": 1, "projection": 4},
    "fastcut": {"width": 2, "blocks": 2, "patches": 4, "projection": 4, "patch_layers": 1},
    "stargan": {"width": 2, "blocks": 1, "d_layers": 2, "critic": 2},
    "stylegan2": {"width": 8, "latent": 6, "mapping": 2, "base": 64, "most": 8},
    "r3gan": {"width": 8, "latent": 5, "group": 4, "blocks": 1},
    "uvcgan": {"width": 8, "d_width": 4, "blocks": 1, "patch_layers": 1},
    "stackgan": {"width": 2, "d_width": 2, "features": 4, "latent": 3, "condition": 3, "matching": 1, "first": 1},
    "attngan": {"width": 2, "d_width": 2, "features": 4, "latent": 3, "condition": 3, "matching": 1},
    "pix2pixhd": {
        "width": 2,
        "d_width": 2,
        "blocks": 1,
        "halvings": 2,
        "coarse_steps": 1,
        "alone_steps": 1,
        "scales": 2,
    },
    "spade": {"width": 2, "d_width": 2, "map_width": 2},
    "inpaint": {"width": 4, "d_width": 4, "d_layers": 2},
    "colourise": {"width": 4},
    "video-pix2pix": {"width": 4},
    "realesrgan": {"generator": "compact", "width": 4, "d_width": 4, "perceptual": "none", "warmup": 1},
    "restore": {"width": 4, "d_width": 4, "perceptual": "none", "warmup": 1},
    "pggan": {"latent": 6, "base": 128, "most": 8, "fade": 2, "steady": 2},
    "pggan-labelled": {"latent": 6, "base": 128, "most": 8, "fade": 2, "steady": 2},
}
"""Hyper-parameters that make a built-in quick to train; a stranger's model is checked with its defaults."""

OTHER_FORMS: list[tuple[str, dict[str, Any]]] = [
    ("dcgan", {"loss": "wasserstein", "penalty": 10.0, "d_norm": "instance", "critic": 2}),
    ("dcgan", {"kernel": 5, "projection": "dense", "extra": 1, "dropout": 0.3, "d_norm": "none", "noise": "uniform"}),
    ("dcgan", {"loss": "hinge", "spectral": True}),
    ("dcgan", {"g_widths": (8, 4), "d_widths": (4, 8), "d_bias": False, "minibatch": 3, "feature_matching": True}),
    ("dcgan", {"simultaneous": True, "projection": "units", "d_norm": "none", "instance_noise": 0.5}),
    ("dcgan", {"unroll": 2, "d_norm": "none"}),
    ("cgan", {"network": "conv"}),
    ("cgan", {"network": "conv", "projection": True, "spectral": True, "loss": "hinge"}),
    ("wgan-gp", {"network": "dcgan"}),
    ("gan", {"saturating": True}),
    ("gan", {"slope": 0.2, "noise": "normal", "g_widths": (4, 8), "d_widths": (8,)}),
]


def model(name: str, **form: Any) -> TaskModel:
    return plugins.load(name)(**{**SMALL.get(name, {}), **form})


@pytest.mark.parametrize("name", sorted(plugins.selectable()))
def test_conforms(name: str) -> None:
    task = model(name)
    results = check_task_model(task)
    # Two halves of a batch whose samples are compared are not the batch.
    skipped = {"accumulation"} if task.compares_samples else set()
    assert {result.check for result in results if result.state != "passed"} == skipped


@pytest.mark.parametrize(("name", "form"), OTHER_FORMS)
def test_other_forms_conform(name: str, form: dict[str, Any]) -> None:
    check_task_model(model(name, **form))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(plugins.selectable()))
def test_conforms_compiled_and_on_two_processes(name: str) -> None:
    check_task_model(model(name), slow=True)
