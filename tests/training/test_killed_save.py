"""A training that is killed while it saves: nothing half-written, and the same bytes in the end."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

KILLED = """
import os, signal, sys
from translate import files
whole, calls = files.os.fsync, []
def fsync(handle):
    calls.append(handle)
    if len(calls) == int(sys.argv[1]):  # all is written, and nothing is in its place yet
        os.kill(os.getpid(), signal.SIGKILL)
    whole(handle)
files.os.fsync = fsync
from translate.cli import app
sys.exit(app.run(sys.argv[2:]))
"""


def train(folder: Path, out: str, *more: str, kill_at: int = 0) -> int:
    words = ["train", "cyclegan", "--a", "a", "--b", "b", "--out", out, "--size", "32", "--width", "2", "--blocks", "1"]
    words += ["--steps", "4", "--save-every", "2", "--preview-every", "100", "--device", "cpu", "--precision", "fp32"]
    command = [sys.executable, "-c", KILLED, str(kill_at), *words, *more]
    return subprocess.run(command, cwd=folder, capture_output=True, timeout=200, check=False).returncode


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no SIGKILL")
def test_a_kill_within_a_save_leaves_nothing_half_done(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(3):
            pixels = np.random.default_rng(number).integers(0, 256, (36, 36, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    assert train(tmp_path, "whole") == 0
    whole = sorted(path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*"))
    for kill_at in (5, 7, 9, 11):
        out = tmp_path / str(kill_at)
        assert train(tmp_path, out.name, kill_at=kill_at) == -signal.SIGKILL
        for checkpoint in (out / "checkpoints").glob("step-*"):
            assert checkpoint.stat().st_size == (tmp_path / "whole" / "checkpoints" / checkpoint.name).stat().st_size
        assert train(tmp_path, out.name, "--resume") == 0
        assert sorted(path.relative_to(out) for path in out.rglob("*")) == whole
        for name in ("model.safetensors", "checkpoints/step-00000004.safetensors"):
            assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
