"""bench/gpu.py at its smallest on the CPU: each question is answered, and one that fails is named."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCH)
    return importlib.import_module("gpu")


@pytest.mark.slow
def test_smoke_answers_every_question(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "out.jsonl"
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--smoke", "--json", str(file)])
    code = gpu.main()
    text = capsys.readouterr().out
    assert code == 0, text
    records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert {record["bench"] for record in records} == {"gpu", "train", "infer"}
    assert all(record["good"] for record in records if record["bench"] == "gpu")
    assert "Two runs with --deterministic: the same bytes" in text
    assert "Resumed halfway: the same bytes" in text


def test_a_question_that_fails_or_takes_too_long_is_not_good(
    gpu: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not gpu.answer("fails", [sys.executable, "-c", "raise SystemExit(3)"], 30)
    assert "exit code 3" in capsys.readouterr().out
    assert not gpu.answer("hangs", [sys.executable, "-c", "import time; time.sleep(30)"], 0.2)
    assert "stopped after" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_cuda_it_names_smoke(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    with pytest.raises(SystemExit) as caught:
        gpu.main()
    assert caught.value.code == 2
    assert "--smoke" in capsys.readouterr().err
