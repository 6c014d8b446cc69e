"""Intervals of figures."""

from __future__ import annotations

import numpy as np
import pytest

from translate.metrics.bootstrap import of_mean, of_sets


def test_error_of_a_mean_is_that_of_theory() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    estimate = of_mean(values.tolist())
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.error == pytest.approx(values.std() / 20, rel=0.1)
    assert estimate.low < 5 < estimate.high
    assert of_mean([3.0]).error == 0


def test_intervals_hold_what_they_promise() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        estimate = of_mean(rng.normal(0, 1, 60).tolist(), draws=200)
        hits += estimate.low <= 0 <= estimate.high
    assert 180 <= hits <= 199


def test_error_of_a_figure_of_two_sets() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(0, 1, 100), rng.normal(1, 1, 50)
    value = float(b.mean() - a.mean())
    estimate = of_sets(lambda i, j: float(b[j].mean() - a[i].mean()), (100, 50), value, draws=400)
    assert estimate.value == value
    assert estimate.error == pytest.approx(np.sqrt(1 / 100 + 1 / 50), rel=0.25)
