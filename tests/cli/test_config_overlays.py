"""Several ``--config`` files: the later over the earlier, and flags over all."""

from __future__ import annotations

from pathlib import Path

import pytest

from gantk_pix2pix import Pix2Pix
from translate.config import read_overlays
from translate.errors import UsageError
from translate.training.request import make_request, tables_of

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def test_a_recipe_goes_over_a_config(tmp_path: Path) -> None:
    configs = [CONFIGS / "pix2pix-facades-cpu.toml", CONFIGS / "pix2pix-modern.toml"]
    given = {"data": {"ab": (tmp_path,)}, "model": {"r2": 0.5}}
    overlays = read_overlays(configs, tables_of(Pix2Pix), "pix2pix")
    request = make_request("pix2pix", Pix2Pix, given, out=tmp_path / "run", overlays=overlays)
    assert isinstance(request.task, Pix2Pix)
    assert (request.run.size, request.run.steps, request.run.ema_images) == (64, 4000, 700)
    task = request.task
    assert (task.width, task.patch_layers, task.loss, task.r1, task.r2) == (32, 2, "relativistic", 100.0, 0.5)


def test_a_mistake_names_the_file_that_it_is_in(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[model]\nr3 = 1\n")
    configs = [CONFIGS / "pix2pix-facades-cpu.toml", tmp_path / "mine.toml"]
    with pytest.raises(UsageError, match=r"mine\.toml: unknown key 'r3' in \[model\]"):
        read_overlays(configs, tables_of(Pix2Pix), "pix2pix")
