"""The soak and the fuzzer find what is planted, and end without a finding on the toolkit itself."""

from __future__ import annotations

import importlib
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from translate.errors import UsageError

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    monkeypatch.syspath_prepend(BENCH)
    return importlib.import_module


def test_the_soak_sees_what_differs_and_what_is_left_over(bench: Callable[[str], ModuleType], tmp_path: Path) -> None:
    soak = bench("soak")
    for name in ("one", "other"):
        (tmp_path / name / "in").mkdir(parents=True)
        (tmp_path / name / "in" / "a").write_bytes(b"same")
    one, other = tmp_path / "one", tmp_path / "other"
    soak.same_tree(one, other)
    (one / "in" / ".x.part").write_bytes(b"")
    with pytest.raises(soak.SoakError, match=r"left over .*in/\.x\.part"):
        soak.same_tree(one, other)
    (one / "in" / ".x.part").unlink()
    (one / "in" / "a").write_bytes(b"sane")
    with pytest.raises(soak.SoakError, match="in/a differs"):
        soak.same_tree(one, other)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "read"),
        (UsageError("x.toml: expected a table"), "refused"),
        (UsageError("x.toml: 'NoneType' object has no attribute 'pop'"), "found ForeignWordsError"),
        (UsageError("x.toml: " + "a" * 5000), "found ForeignWordsError"),
        (UsageError("one line\nand another"), "found ForeignWordsError"),
        (KeyError("size"), "found KeyError"),
        (SystemExit(0), "found SystemExit"),
    ],
)
def test_what_the_fuzzer_takes_for_a_finding(
    bench: Callable[[str], ModuleType], tmp_path: Path, error: BaseException | None, outcome: str
) -> None:
    fuzz = bench("fuzz")

    def read(path: Path) -> None:
        if error is not None:
            raise error

    target = fuzz.Target("any", {}, read, fuzz.mutated_bytes)
    assert fuzz._outcome(target, tmp_path).startswith(outcome)


def test_inputs_depend_on_the_seed_alone_and_differ_from_it(bench: Callable[[str], ModuleType]) -> None:
    fuzz = bench("fuzz")
    seed = b"[run]\nsteps = 3\n" * 20
    for mutate in (fuzz.mutated_bytes, fuzz.mutated_text):
        drawn = [mutate(seed, random.Random(number)) for number in range(20)]
        assert drawn == [mutate(seed, random.Random(number)) for number in range(20)]
        assert sum(one != seed for one in drawn) > 15


CRASHES = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import fuzz
fuzz.PATIENCE, room = 0.5, Path(sys.argv[2])
def read(path):
    word = path.read_bytes()
    if word == b"dies":
        os.abort()
    if word == b"hangs":
        time.sleep(30)
tally = fuzz.Tally()
inputs = [("seed", word) for word in (b"fine", b"dies", b"fine", b"hangs", b"fine")]
fuzz._run_batch(fuzz.Target("any", {}, read, None), inputs, room, room / "kept", tally)
kept = sorted(Path(path).read_bytes() for path in tally.findings.values())
assert (tally.inputs, tally.read, kept) == (5, 3, [b"dies", b"hangs"]), vars(tally)
"""


@pytest.mark.slow
def test_the_fuzzer_survives_crashes_and_hangs(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", CRASHES, str(BENCH), str(tmp_path)], check=True, timeout=100)


@pytest.mark.slow
@pytest.mark.parametrize("words", [("soak", "--kills", "2"), ("fuzz", "--minutes", "0.02", "--seed", "3")])
def test_the_scripts_end_without_a_finding(words: tuple[str, ...], tmp_path: Path) -> None:
    command = [sys.executable, str(BENCH / f"{words[0]}.py"), *words[1:]]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
