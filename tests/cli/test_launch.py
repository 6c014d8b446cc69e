"""Several processes: their command line, restarts after a kill, and the warning under srun."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stranger import WORKING, install
from translate.cli.launch import _words_of_each, warn_of_separate_tasks


@pytest.mark.parametrize(
    ("words", "each"),
    [
        (["train", "m", "--nproc", "2", "--a", "x"], ["train", "m", "--a", "x", "--out", "runs/m-1"]),
        (["train", "m", "--nproc=2", "--out", "o"], ["train", "m", "--out", "o"]),
        (["train", "m", "--out=o", "--max-restarts", "0", "--nproc", "2"], ["train", "m", "--out=o"]),
    ],
)
def test_every_process_trains_into_one_folder(words: list[str], each: list[str]) -> None:
    assert _words_of_each(words, Path("runs/m-1")) == each


def warning(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **variables: str) -> str:
    for name in ("SLURM_STEP_NUM_TASKS", "SLURM_STEP_NUM_NODES", "SLURM_PROCID", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["gantk", "train", "cyclegan", "--a", "two words"])
    warn_of_separate_tasks()
    return capsys.readouterr().err


def test_tasks_of_srun_without_torchrun_are_warned_of_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    four = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "1", "SLURM_PROCID": "0"}
    text = warning(monkeypatch, capsys, **four)
    assert text.count("\n") == 1
    assert "srun --ntasks=1 gantk train cyclegan --a 'two words' --nproc 4" in text
    text = warning(monkeypatch, capsys, **{**four, "SLURM_STEP_NUM_NODES": "2"})
    assert "torchrun --nnodes=2 --nproc-per-node=2" in text
    assert "-m translate train cyclegan" in text
    assert warning(monkeypatch, capsys, **{**four, "SLURM_PROCID": "3"}) == "", "one task speaks for all"
    assert warning(monkeypatch, capsys, **four, WORLD_SIZE="4") == "", "torchrun is there"
    assert warning(monkeypatch, capsys, SLURM_STEP_NUM_TASKS="1", SLURM_PROCID="0") == ""
    assert warning(monkeypatch, capsys) == ""


KILLED = WORKING.replace(
    "    def fit(self, nets, x):\n",
    """    def fit(self, nets, x):
        import os, pathlib, signal
        mark = pathlib.Path(os.environ["KILL_ONCE"])
        if os.environ["RANK"] == "1" and pathlib.Path("run/checkpoints/step-00000002.safetensors").exists():
            if os.environ.get("KILL_ALWAYS") or not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
""",
)


def train(folder: Path, *more: str, **variables: str) -> subprocess.CompletedProcess[str]:
    site = folder / "site"
    site.mkdir()
    install(site, "brown-tools", code=KILLED)
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (folder / name).mkdir()
        for index in range(2):
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / name / f"{index}.png")
    data = ["--a", "a", "--b", "b", "--size", "16", "--device", "cpu", "--workers", "0", "--out", "run"]
    pace = ["--steps", "6", "--save-every", "1", "--log-every", "1", "--nproc", "2"]
    environment = {**os.environ, "PYTHONPATH": str(site), "KILL_ONCE": str(folder / "killed"), **variables}
    return subprocess.run(
        [sys.executable, "-m", "translate", "train", "sepia", *data, *pace, *more],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.mark.slow
def test_a_killed_process_is_restarted_from_the_last_checkpoint(tmp_path: Path) -> None:
    result = train(tmp_path)
    assert result.returncode == 0, result.stderr
    assert "process 1 of 2 was killed (SIGKILL); all are restarted from the last checkpoint (restart 1 of 3)" in (
        result.stderr
    )
    assert re.search(r"resuming after step [2-5] ", result.stderr)
    assert "plugin" not in result.stderr, "it is not to blame"
    lines = (tmp_path / "run/metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_restarts_end_and_the_last_kill_is_named(tmp_path: Path) -> None:
    result = train(tmp_path, "--max-restarts", "1", KILL_ALWAYS="1")
    assert result.returncode == 137
    assert result.stderr.splitlines()[-1] == "gantk: error: process 1 of 2 was killed (SIGKILL)"
    assert "plugin" not in result.stderr
    assert "Traceback" not in result.stderr
