"""bench/ranks.py compares the same thing, and bench/allocator.py switches."""

from __future__ import annotations

import importlib
import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

BENCH = Path(__file__).resolve().parents[1] / "bench"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """A script of bench/ as a module; its siblings are found as when it is run."""
    monkeypatch.syspath_prepend(BENCH)
    return importlib.import_module


@pytest.mark.slow
@pytest.mark.parametrize("model", ["cyclegan", "dcgan"])
def test_both_averages_give_the_same_parameters(
    bench: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: str
) -> None:
    file = tmp_path / "out.jsonl"
    words = ["--model", model, "--size", "32", "--width", "2", "--batch", "4", "--rounds", "1", "--json", str(file)]
    monkeypatch.setattr(sys, "argv", ["ranks.py", *words])
    bench("ranks").main()
    (result,) = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert set(result["seconds"]) == {"alone", "flat", "ddp", "ddp unused"}
    assert result["apart"] <= 1e-6
    assert result["bytes"] > 0


def faults() -> int:
    """Page faults of taking 320 MiB that were taken and freed before."""
    counts = []
    for _ in range(8):  # memalign finds room again only after a few times (glibc bug 14581)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(80 << 20)  # 320 MiB: larger than any hole that other tests left in the heap
        counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return min(counts)


def test_each_side_has_its_own_allocator(bench: Callable[[str], ModuleType]) -> None:
    with bench("allocator").taking_turns(torch.device("cpu")) as before:
        if not before:
            pytest.skip("not glibc")
        for _ in range(2):
            before["reference"]()
            given_back = faults()
            before["ours"]()
            assert faults() < given_back / 4
    assert faults() > given_back / 4  # as it was found


def test_the_allocator_is_left_alone_on_a_gpu(bench: Callable[[str], ModuleType]) -> None:
    with bench("allocator").taking_turns(torch.device("cuda")) as before:
        assert before == {}


def test_only_the_models_of_the_public_code_have_a_peer(
    bench: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "dcgan", "--peer", "somewhere"])
    with pytest.raises(SystemExit):
        bench("train").main()
    assert "the public code has cyclegan and pix2pix, not dcgan" in capsys.readouterr().err
