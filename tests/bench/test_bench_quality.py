"""bench/quality.py trains, judges and prints rows, by gantk and by the plain loop; what is there it does not redo."""

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


@pytest.mark.slow
def test_both_ways_are_judged_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    quality = importlib.import_module("quality")
    monkeypatch.setattr(importlib.import_module("held_out"), "DIGITS", 120)
    monkeypatch.setattr(importlib.import_module("cases"), "SAMPLED", 20)
    monkeypatch.setattr(quality, "alone", lambda function, *args: function(*args))
    digits = tmp_path / "data" / "mnist"
    digits.mkdir(parents=True)
    rng = np.random.default_rng(0)
    idx(digits / "t10k-images-idx3-ubyte.gz", rng.integers(0, 256, (160, 28, 28), dtype=np.uint8))
    idx(digits / "t10k-labels-idx1-ubyte.gz", np.arange(160, dtype=np.uint8) % 10)
    words = ["gan", "--data", str(tmp_path / "data"), "--work", str(tmp_path / "work"), "--minutes", "0.01"]
    quality.main([*words, "--reference", "--json", str(tmp_path / "figures.jsonl")])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| gan |")]
    assert [row.split(" | ")[2] for row in rows] == ["gantk", "plain loop"]
    assert all("frechet" in row and "kernel" in row for row in rows)
    found = [json.loads(line) for line in (tmp_path / "figures.jsonl").read_text().splitlines()]
    assert found[0]["setting"] == found[1]["setting"]
    monkeypatch.setattr(quality, "train", None)
    quality.main(words)
    assert rows[0] in capsys.readouterr().out
    with pytest.raises(SystemExit):
        quality.main(["gann", *words[1:]])
