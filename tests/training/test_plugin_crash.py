"""A plugin that fails while it trains: one line names it, and what was saved before stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stranger import WORKING, install
from translate.training.checkpoint import list_checkpoints

CRASH = WORKING.replace(
    "def fit(self, nets, x):",
    'def fit(self, nets, x):\n        if x.progress > 0.6:\n            raise KeyError("no tint")',
)


def train(tmp_path: Path, code: str, *more: str) -> subprocess.CompletedProcess[str]:
    site = tmp_path / "site"
    install(site, "brown-tools", code=code)
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index in range(2):
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(tmp_path / name / f"{index}.png")
    data = ["--a", str(tmp_path / "a"), "--b", str(tmp_path / "b"), "--out", str(tmp_path / "run")]
    pace = ["--steps", "6", "--save-every", "2", "--workers", "0"]
    return subprocess.run(
        [sys.executable, "-m", "translate", "train", "sepia", *data, *pace, *more],
        env={**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
    )


@pytest.mark.parametrize("debug", [False, True])
def test_a_crash_in_a_step_names_the_plugin_and_keeps_the_checkpoint(tmp_path: Path, debug: bool) -> None:
    result = train(tmp_path, CRASH, *(["--debug"] if debug else []))
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("gantk: error: plugin sepia (brown-tools 2.3) failed at step 4: KeyError")
    assert "no tint" in last
    assert ("Traceback" in result.stderr) == debug
    assert ("stranger_sepia.py" in result.stderr) == debug
    saved = list_checkpoints(tmp_path / "run" / "checkpoints")
    assert [path.name for path in saved] == ["step-00000002.safetensors", "step-00000004.safetensors"]
    assert (tmp_path / "run" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('return {"g"', 'raise ValueError("no network")\n        return {"g"', "no network"),
        ('return [Phase("fit"', 'raise ValueError("no phase")\n        return [Phase("fit"', "no phase"),
    ],
)
def test_a_crash_before_the_first_step_writes_nothing(tmp_path: Path, old: str, new: str, reason: str) -> None:
    result = train(tmp_path, WORKING.replace(old, new))
    assert result.returncode == 1
    assert reason in result.stderr.strip().splitlines()[-1]
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "run").exists()
