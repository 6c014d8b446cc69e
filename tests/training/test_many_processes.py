"""Runs on two processes of one machine: --nproc, torchrun, a killed rank."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from packing import write_tar
from translate.training.checkpoint import list_checkpoints, same_state

TINY = ["--size", "16", "--width", "4", "--blocks", "1", "--patch-layers", "1", "--pool", "3", "--workers", "1"]
PACE = ["--batch", "2", "--steps", "8", "--save-every", "2", "--keep", "10", "--log-every", "2", "--device", "cpu"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A folder, and two shards with pictures of another domain."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (root / name).mkdir()
        for index in range(6):
            Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(root / name / f"{index}.png")
    for shard in range(2):
        names = [f"{index}.png" for index in range(3 * shard, 3 * shard + 3)]
        write_tar(root / f"b-{shard}.tar", {name: (root / "b" / name).read_bytes() for name in names})
    return ["--a", str(root / "a"), "--b", str(root / "b-{0..1}.tar")]


def test_nproc_refuses_a_batch_that_cannot_be_split(data: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "translate", "train", "cyclegan", *data, *TINY, "--batch", "3", "--device", "cpu"]
    result = subprocess.run(
        [*command, "--nproc", "2", "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=120,
        check=False,
    )
    assert result.returncode == 2
    assert "--batch 3 cannot be split over 2 processes" in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals between processes")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_nproc_told_to_stop_saves_and_exits_with_its_code(
    number: signal.Signals, code: int, data: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    pace = ["--batch", "2", "--steps", "100000", "--save-every", "100000", "--log-every", "2", "--device", "cpu"]
    command = [sys.executable, "-m", "translate", "train", "cyclegan", *data, *TINY, *pace, "--nproc", "2"]
    process = subprocess.Popen([*command, "--out", str(out)], stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    while process.poll() is None and not ((out / "metrics.jsonl").exists() and (out / "metrics.jsonl").stat().st_size):
        time.sleep(0.02)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=100)
    assert process.returncode == code, stderr
    assert "Traceback" not in stderr
    assert len(list_checkpoints(out / "checkpoints")) == 1


@pytest.mark.slow
def test_a_killed_rank_is_restarted_and_ends_in_the_same_tensors(data: list[str], tmp_path: Path) -> None:
    """Uninterrupted with --nproc, killed under torchrun, and resumed on one process."""
    train = ["translate", "train", "cyclegan", *data, *TINY, *PACE]
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    command = [sys.executable, "-m", *train, "--nproc", "2", "--out", str(straight)]
    subprocess.run(command, env=ENVIRONMENT, timeout=200, check=True, stderr=subprocess.DEVNULL)

    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    process = subprocess.Popen(
        [*torchrun, "--max-restarts", "2", "--monitor-interval", "0.2", "-m", *train, "--out", str(killed)],
        env=ENVIRONMENT,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and not list_checkpoints(killed / "checkpoints"):
        time.sleep(0.02)
    ranks = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True).stdout.split()
    os.kill(int(ranks[-1]), signal.SIGKILL)
    assert process.wait(timeout=250) == 0
    last = "step-00000008.safetensors"
    assert same_state(straight / "checkpoints" / last, killed / "checkpoints" / last)

    resumed = [sys.executable, "-m", "translate", "train", "cyclegan", "--out", str(killed), "--resume", "--steps", "9"]
    alone = subprocess.run(resumed, env=ENVIRONMENT, timeout=120, check=True, capture_output=True, text=True)
    assert "saved by 2 process(es) and continues with 1" in alone.stderr


@pytest.mark.slow
def test_held_out_pictures_are_judged_as_on_one_process(data: list[str], tmp_path: Path) -> None:
    judged: list[list[dict[str, float]]] = []
    for count in ("1", "2"):
        out = tmp_path / count
        more = ["--evaluate-every", "4", "--val-share", "0.5", "--patience", "9", "--precision", "fp32"]
        command = [sys.executable, "-m", "translate", "train", "cyclegan", *data, *TINY, *PACE, *more, "--nproc", count]
        subprocess.run([*command, "--out", str(out)], env=ENVIRONMENT, timeout=200, check=True)
        records = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        judged.append([{k: v for k, v in r.items() if "eval/" in k or "memorised" in k} for r in records])
        assert (out / "best.safetensors").is_file()
    one, two = judged
    assert sum(map(bool, one)) == 2
    for ours, theirs in zip(one, two, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-4)
