"""Restore: Real-ESRGAN's game at scale 1, on inputs made from one folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gantk_realesrgan import RealESRGAN
from gantk_restore import Impaired, Restore
from translate.contract import DataSpec
from translate.data.degrade import degrade
from translate.errors import UsageError

SPEC = DataSpec(48, {"low": 3, "high": 3})


def test_it_is_realesrgan_at_scale_1() -> None:
    task = Restore(perceptual="none")
    assert isinstance(task, RealESRGAN)
    assert (task.generator, task.warmup, task.source) == ("compact", 100_000, Impaired)
    (direction,) = task.directions(SPEC)
    assert (direction.name, direction.scale, direction.margin) == ("restore", 1, 18)
    assert Restore(generator="rrdb", perceptual="none").directions(SPEC)[0].multiple == 4


def test_inputs_are_degraded_pictures_and_every_range_is_a_setting(tmp_path: Path) -> None:
    source = Impaired(images=(tmp_path,), degrade_jpeg=(10, 10, 10, 10))
    pictures = torch.rand(2, 3, 48, 48) * 2 - 1
    derived = source.derive(pictures, torch.Generator().manual_seed(1))["low"]
    assert derived.shape == pictures.shape
    torch.testing.assert_close(derived, degrade(pictures, 1, torch.Generator().manual_seed(1), source))
    with pytest.raises(UsageError, match="--degrade-jpeg 90 10 30 95: expected the least value before the largest"):
        Impaired(images=(tmp_path,), degrade_jpeg=(90, 10, 30, 95))
