"""Features of real pictures are computed once, for what the files hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_evaluate import write
from torch import Tensor

import translate
from translate.evaluation.features import RandomFeatures
from translate.evaluation.kept import KeptFeatures
from translate.evaluation.result import Figure


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures went through the network, call by call."""
    counts: list[int] = []
    original = RandomFeatures.forward

    def forward(self: RandomFeatures, pictures: Tensor) -> Tensor:
        counts.append(len(pictures))
        return original(self, pictures)

    monkeypatch.setattr(RandomFeatures, "forward", forward)
    return counts


def test_the_second_evaluation_computes_only_what_is_new(tmp_path: Path, computed: list[int]) -> None:
    a, b = write(tmp_path / "a", 6), write(tmp_path / "b", 9, first=50)

    def figures(**more: Any) -> tuple[Figure, ...]:
        return translate.evaluate(pictures=a, against=b, metric=("frechet", "kernel"), **more).figures

    first = figures()
    assert sum(computed) == 15
    computed.clear()
    assert figures() == first
    assert sum(computed) == 6
    computed.clear()
    assert figures(cache="off") == first
    assert sum(computed) == 15
    computed.clear()
    assert figures(size=16) != first
    assert sum(computed) == 15
    computed.clear()
    picture = b / "00.png"
    picture.write_bytes((a / "00.png").read_bytes())
    assert figures() != first
    assert sum(computed) == 15


def test_what_is_damaged_is_computed_again(tmp_path: Path, computed: list[int]) -> None:
    a = write(tmp_path / "a", 3)
    files = sorted(a.iterdir())
    kept = KeptFeatures(files, "setting")
    assert kept.read() is None
    rows = np.ones((3, 4), np.float32)
    kept.write(rows)
    read = kept.read()
    assert read is not None
    assert np.array_equal(read, rows)
    assert KeptFeatures(files, "other").read() is None
    assert KeptFeatures(files[::-1], "setting").read() is None
    for damaged in (kept.file.read_bytes()[:-8], b"", b"not an array"):
        kept.file.write_bytes(damaged)
        assert kept.read() is None
    kept.write(rows[:2])
    assert kept.read() is None
