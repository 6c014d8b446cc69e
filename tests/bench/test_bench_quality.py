"""bench/quality.py and score.py train, judge and print rows, by gantk and by the plain loop."""

from __future__ import annotations

import gzip
import importlib
import json
from pathlib import Path

import numpy as np
import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"


def idx(path: Path, numbers: np.ndarray) -> None:
    sides = b"".join(side.to_bytes(4, "big") for side in numbers.shape)
    path.write_bytes(gzip.compress(bytes((0, 0, 8, numbers.ndim)) + sides + numbers.tobytes()))


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A few random digits, the flags that name them, and everything in this process."""
    monkeypatch.syspath_prepend(str(BENCH))
    monkeypatch.setattr(importlib.import_module("held_out"), "DIGITS", 120)
    monkeypatch.setattr(importlib.import_module("cases"), "SAMPLED", 20)
    for name in ("quality", "score"):
        monkeypatch.setattr(importlib.import_module(name), "alone", lambda function, *args: function(*args))
    digits = tmp_path / "data" / "mnist"
    digits.mkdir(parents=True)
    rng = np.random.default_rng(0)
    idx(digits / "t10k-images-idx3-ubyte.gz", rng.integers(0, 256, (160, 28, 28), dtype=np.uint8))
    idx(digits / "t10k-labels-idx1-ubyte.gz", np.arange(160, dtype=np.uint8) % 10)
    return ["gan", "--data", str(tmp_path / "data"), "--work", str(tmp_path / "work"), "--minutes", "0.01"]


@pytest.mark.slow
def test_both_ways_are_judged_alike(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quality = importlib.import_module("quality")
    quality.main([*words, "--reference", "--json", str(tmp_path / "figures.jsonl")])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| gan |")]
    assert [row.split(" | ")[2] for row in rows] == ["gantk", "plain loop"]
    assert all("frechet" in row and "kernel" in row for row in rows)
    found = [json.loads(line) for line in (tmp_path / "figures.jsonl").read_text().splitlines()]
    assert found[0]["setting"] == found[1]["setting"]
    monkeypatch.setattr(quality, "train", None)  # what is there is not trained again
    quality.main(words)
    assert rows[0] in capsys.readouterr().out
    with pytest.raises(SystemExit):
        quality.main(["gann", *words[1:]])


@pytest.mark.slow
def test_minutes_to_a_figure(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    score, file = importlib.import_module("score"), tmp_path / "score.jsonl"
    score.main([*words, "--figure", "frechet", "--reach", "1e9", "--every", "0.1", "--json", str(file)])
    score.main([*words, "--figure", "frechet", "--reach", "0", "--every", "0.4", "--json", str(file)])
    shown = [row.split(" | ") for row in capsys.readouterr().out.splitlines() if row.startswith("| gan |")]
    assert [row[1] for row in shown] == ["gantk", "plain loop"] * 2
    assert [row[2] for row in shown[2:]] == ["not in 0.01"] * 2
    found = [json.loads(line) for line in file.read_text().splitlines()]
    assert [each["reached"] for each in found] == [True, True, False, False]
    assert [len(each["curve"]) for each in found[:2]] == [1, 1]
    assert all(len(each["curve"]) >= 1 and each["curve"][-1][0] >= 0.01 for each in found[2:])
    with pytest.raises(SystemExit):
        score.main([*words, "--figure", "psnr", "--reach", "0"])
