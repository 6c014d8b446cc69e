"""A whole run from outside: killed at any moment, resumed, interrupted, misused."""

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

from packing import pack
from translate.cli import app as cli
from translate.training.checkpoint import list_checkpoints, same_state
from translate.training.engine import Engine

STEPS = 12


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name, count in (("a", 5), ("b", 4)):
        (root / name).mkdir()
        for index in range(count):
            pixels = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    return root / "a", root / "b"


def arguments(folders: tuple[Path, Path], out: Path, *more: str) -> list[str]:
    """A small training; ``more`` replaces what it has of the same flags."""
    a, b = folders
    small = {"--size": "16", "--width": "4", "--blocks": "1", "--patch-layers": "1", "--pool": "3", "--workers": "1"}
    pace = {"--steps": str(STEPS), "--save-every": "3", "--preview-every": "6", "--log-every": "2", "--keep": "20"}
    usual = {"--a": str(a), "--b": str(b), "--out": str(out), **small, **pace, "--device": "cpu"}
    words = [word for flag, value in usual.items() if flag not in more for word in (flag, value)]
    return [sys.executable, "-m", "translate", "train", "cyclegan", *words, *more]


def run(command: list[str], **settings: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=200, check=False, **settings
    )  # type: ignore[call-overload, no-any-return]


@pytest.fixture(scope="module")
def straight(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("straight") / "run"
    result = run(arguments(folders, out))
    assert result.returncode == 0, result.stderr
    return out


@pytest.mark.parametrize(("flags", "weights"), [((), "raw"), (("--ema", "0.9"), "averaged")])
def test_cyclegan_publishes_an_average_where_asked(
    folders: tuple[Path, Path], tmp_path: Path, flags: tuple[str, ...], weights: str
) -> None:
    result = run(arguments(folders, tmp_path / "run", "--steps", "3", *flags))
    assert result.returncode == 0, result.stderr
    shown = run([sys.executable, "-m", "translate", "--json", "inspect", str(tmp_path / "run")])
    assert json.loads(shown.stdout)["weights"] == weights


def metrics(out: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{k: v for k, v in line.items() if k not in ("images_per_s", "waiting", "memory_gib")} for line in lines]


def test_the_run_folder(straight: Path) -> None:
    assert sorted(p.name for p in straight.iterdir()) == [
        "checkpoints",
        "config.toml",
        "data.json",
        "environment.json",
        "metrics.jsonl",
        "model.safetensors",
        "previews",
        "report.html",
    ]
    names = [p.name for p in list_checkpoints(straight / "checkpoints")]
    assert names == [f"step-{step:08d}.safetensors" for step in (3, 6, 9, 12)]
    assert sorted(p.name for p in (straight / "previews").iterdir()) == [f"step-{s:06d}.png" for s in (0, 6, 12)]
    assert [line["step"] for line in metrics(straight)] == [2, 3, 4, 6, 8, 9, 10, 12]
    terms = {"adv_a", "adv_b", "cycle_a", "cycle_b", "identity_a", "identity_b"}
    assert {f"generators/{term}" for term in terms} <= metrics(straight)[-1].keys()
    assert {"discriminators/d_a", "discriminators/d_b"} <= metrics(straight)[-1].keys()
    with Image.open(straight / "previews" / "step-000012.png") as picture:
        assert picture.size == (6 * 16 + 7 * 2, 4 * 16 + 5 * 2)


def assert_equal_runs(first: Path, second: Path) -> None:
    last = f"step-{STEPS:08d}.safetensors"
    assert same_state(first / "checkpoints" / last, second / "checkpoints" / last)
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()
    assert metrics(first) == metrics(second)
    assert not [p for p in second.rglob("*") if p.name.endswith(".part")]


def test_killed_at_any_moment_and_resumed_it_ends_in_the_same_tensors(
    straight: Path, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    waits = iter((0.0, 0.05, 0.3, 0.6))
    kills = 0
    for wait in waits:
        more = ["--resume"] if (out / "config.toml").exists() else []
        process = subprocess.Popen(
            arguments(folders, out, *more), stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        known = len(list_checkpoints(out / "checkpoints"))
        while process.poll() is None and not (
            (out / "metrics.jsonl").exists() and (len(list_checkpoints(out / "checkpoints")) > known or wait == 0.0)
        ):
            time.sleep(0.01)
        time.sleep(wait)
        if process.poll() is None:
            process.kill()
            kills += 1
        process.wait()
    assert kills >= 2
    result = run(arguments(folders, out, "--resume"))
    assert result.returncode == 0, result.stderr
    assert_equal_runs(straight, out)


@pytest.mark.slow
def test_archives_end_in_the_tensors_of_their_folders_and_resume_in_them(
    straight: Path, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    a, b = (pack(folder, tmp_path / f"{folder.name}.tar") for folder in folders)
    result = run(arguments((a, b), out))
    assert result.returncode == 0, result.stderr
    assert_equal_runs(straight, out)
    for checkpoint in list_checkpoints(out / "checkpoints")[2:]:
        checkpoint.unlink()
    result = run(arguments((a, b), out, "--resume"))
    assert result.returncode == 0, result.stderr
    assert_equal_runs(straight, out)
    assert set(json.loads((out / "data.json").read_text(encoding="utf-8"))["files"]) == {"a/a.tar", "b/b.tar"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals between processes")
@pytest.mark.parametrize(("number", "code"), [("SIGTERM", 143), ("SIGINT", 130), ("SIGHUP", 129)])
def test_a_stop_signal_saves_and_exits_with_its_code(
    number: str, code: int, straight: Path, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    process = subprocess.Popen(
        arguments(folders, out, "--save-every", "100"),
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # where pytest runs under nohup, it is ignored
    )
    while process.poll() is None and not ((out / "metrics.jsonl").exists() and (out / "metrics.jsonl").stat().st_size):
        time.sleep(0.005)
    process.send_signal(signal.Signals[number])
    _, stderr = process.communicate(timeout=100)
    assert process.returncode == code, stderr
    assert "Traceback" not in stderr
    saved = list_checkpoints(out / "checkpoints")
    assert len(saved) == 1
    assert saved[0].name != f"step-{STEPS:08d}.safetensors"
    result = run(arguments(folders, out, "--resume", "--save-every", "100"))
    assert result.returncode == 0, result.stderr
    last = f"step-{STEPS:08d}.safetensors"
    assert same_state(straight / "checkpoints" / last, out / "checkpoints" / last)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are other things on Windows")
def test_a_run_goes_on_when_nobody_listens_any_more(straight: Path, folders: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = subprocess.Popen(
        arguments(folders, out, "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline()  # the first record
    process.stdout.close()
    process.stderr.close()
    assert process.wait(timeout=100) == 0
    assert_equal_runs(straight, out)


def test_a_run_may_begin_in_an_empty_folder_that_no_rename_could_replace(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    place, link = tmp_path / "here", tmp_path / "link"
    place.mkdir()
    (tmp_path / "target").mkdir()
    link.symlink_to(tmp_path / "target", target_is_directory=True)
    for out, cwd in ((Path(), place), (link, tmp_path)):
        result = run(arguments(folders, out, "--steps", "1"), cwd=cwd)
        assert result.returncode == 0, result.stderr
        assert (cwd / out / "model.safetensors").is_file()
    assert link.is_symlink()


def test_data_of_another_kind_are_refused_and_leave_the_run_as_it_is(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert run(arguments(folders, out, "--identity", "0", "--steps", "2")).returncode == 0
    before = (out / "config.toml").read_bytes()
    result = run(arguments(folders, out, "--identity", "0", "--resume", "--channels", "1"))
    assert result.returncode == 2
    assert "--resume: the data had channels {'a': 3, 'b': 3} when" in result.stderr
    assert (out / "config.toml").read_bytes() == before
    assert run(arguments(folders, out, "--identity", "0", "--resume", "--steps", "3")).returncode == 0


def test_a_damaged_checkpoint_is_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run(arguments(folders, out, "--steps", "2")).returncode == 0
    (damaged,) = list_checkpoints(out / "checkpoints")
    damaged.write_bytes(damaged.read_bytes()[:100])
    result = run(arguments(folders, out, "--resume"))
    assert result.returncode == 1
    assert f"passed over {damaged}" in result.stderr
    assert f"no checkpoint in {damaged.parent} can be read" in result.stderr


def test_memory_that_the_processor_lacks_is_no_fault_of_the_plugins(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(self: Engine, draw: object, progress: float) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")

    monkeypatch.setattr(Engine, "train_step", fail)
    assert cli.run(arguments(folders, tmp_path / "run")[3:]) == 1
    assert "out of memory at step 0: a smaller --batch" in capsys.readouterr().err


def test_resuming_a_complete_run_changes_nothing_and_more_steps_extend_it(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert run(arguments(folders, out)).returncode == 0
    before = (out / "model.safetensors").read_bytes()
    again = run([sys.executable, "-m", "translate", "train", "cyclegan", "--out", str(out), "--resume"])
    assert again.returncode == 0, again.stderr
    assert f"complete at step {STEPS}" in again.stderr
    assert (out / "model.safetensors").read_bytes() == before
    longer = run(arguments(folders, out, "--resume", "--steps", "14"))
    assert longer.returncode == 0, longer.stderr
    assert list_checkpoints(out / "checkpoints")[-1].name == "step-00000014.safetensors"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--resume", "--cycle", "3"], "--cycle was 10 in"),
        (["--resume", "--seed", "3"], "--seed was 0"),
        (["--resume", "--steps", "5"], "is at step 12; expected --steps 12 or more, not 5"),
        ([], "exists already; add --resume"),
    ],
)
def test_a_run_cannot_turn_into_another(
    more: list[str], message: str, straight: Path, folders: tuple[Path, Path]
) -> None:
    before = sorted((p, p.stat().st_mtime_ns) for p in straight.rglob("*"))
    result = run(arguments(folders, straight, *more))
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert before == sorted((p, p.stat().st_mtime_ns) for p in straight.rglob("*"))


def test_divergence_exits_4_and_never_reaches_a_checkpoint(folders: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = run(arguments(folders, out, "--lr", "1e30", "--save-every", "1"))
    assert result.returncode == 4, result.stderr
    assert "training diverged at step" in result.stderr
    assert "phase" in result.stderr
    assert "Traceback" not in result.stderr
    for path in list_checkpoints(out / "checkpoints"):
        from safetensors.torch import load_file

        assert all(bool(t.isfinite().all()) for t in load_file(path).values() if t.is_floating_point())


def test_dry_run_writes_nothing(folders: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = run(arguments(folders, out, "--dry-run"))
    assert result.returncode == 0, result.stderr
    assert "g_ab" in result.stderr
    assert not out.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_size_that_the_model_cannot_have_is_refused_before_any_picture_is_read(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    (folders[0] / "broken.png").write_bytes(b"no picture")
    try:
        result = run(arguments(folders, tmp_path / "run", "--size", "18"))
    finally:
        (folders[0] / "broken.png").unlink()
    assert result.returncode == 2
    assert "size 18: expected a multiple of 4" in result.stderr
    assert "broken.png" not in result.stderr
    assert list(tmp_path.iterdir()) == []
