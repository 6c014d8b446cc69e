"""bench/ranks.py compares the same thing, and bench/allocator.py switches."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

BENCH = Path(__file__).resolve().parents[2] / "bench"


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


# Page faults of taking 320 MiB again and again, fewest and most, as either side has the allocator and after both.
TURNS = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import allocator, torch

def faults():
    counts = []
    for _ in range(8):  # memalign finds room again only after a few times (glibc bug 14581)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(80 << 20)
        counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return f"{min(counts)} {max(counts)}"

with allocator.taking_turns(torch.device("cpu")) as before:
    for _ in range(2 if before else 0):
        for side in ("reference", "ours"):
            before[side]()
            print(faults())
print(faults())
"""


def test_each_side_has_its_own_allocator() -> None:
    """In a process of its own: holes that other tests left in the heap would be filled first."""
    command = [sys.executable, "-c", TURNS, str(BENCH)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    # Where a hole between other blocks is large enough, the reference fills it without a fault after its first time.
    *turns, (_, after) = [tuple(map(int, line.split())) for line in result.stdout.splitlines()]
    if not turns:
        pytest.skip("not glibc")
    assert len(turns) == 4
    for (_, reference), (ours, _) in zip(turns[::2], turns[1::2], strict=True):
        assert ours < reference / 4
        assert after > reference / 4  # as it was found


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
