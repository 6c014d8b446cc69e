"""Distances between sets of features, against plain formulas and torch-fidelity's own."""

from __future__ import annotations

import math

import numpy as np
import pytest

from translate.metrics.distances import density_coverage, frechet, kernel_distance


def rows(count: int, width: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1 + 0.5 * shift, (count, width))


@pytest.mark.parametrize(("count", "width"), [(400, 5), (30, 60)])
def test_frechet_of_covariances(count: int, width: int) -> None:
    a, b = rows(count, width, 0), rows(count + 7, width, 1, 0.4)
    c1, c2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = np.linalg.eigh(c1)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    trace = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ c2 @ root), 0)).sum()
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(c1) + np.trace(c2) - 2 * trace
    assert frechet(a, b) == pytest.approx(expected, rel=1e-6)


def test_frechet_of_a_known_case() -> None:
    """In one dimension it is (m1 - m2)^2 + (s1 - s2)^2."""
    a, b = rows(50, 1, 0), rows(70, 1, 1, 3.0)
    expected = (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2
    assert frechet(a, b) == pytest.approx(expected)
    assert frechet(a, a) == pytest.approx(0, abs=1e-9)


def test_kernel_distance_is_the_mean_over_pairs() -> None:
    a, b = rows(6, 4, 0), rows(5, 4, 1, 0.5)

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / 4 + 1) ** 3)

    same = [
        np.mean([kernel(x, y) for i, x in enumerate(group) for j, y in enumerate(group) if i != j]) for group in (a, b)
    ]
    expected = sum(same) - 2 * np.mean([kernel(x, y) for x in a for y in b])
    assert kernel_distance(a, b) == pytest.approx(expected)


def test_density_and_coverage() -> None:
    reals = rows(60, 3, 0)
    assert density_coverage(reals, reals)[1] == 1.0
    assert density_coverage(reals + 100, reals) == (0.0, 0.0)
    density, coverage = density_coverage(np.repeat(reals[:1], 40, axis=0), reals)  # collapsed onto one real picture
    assert coverage < 0.3
    assert density > 0.5


def test_what_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="two pictures"):
        frechet(rows(1, 3, 0), rows(4, 3, 1))
    with pytest.raises(ValueError, match="different lengths"):
        kernel_distance(rows(4, 2, 0), rows(4, 3, 1))
    with pytest.raises(ValueError, match="more than 5"):
        density_coverage(rows(4, 2, 0), rows(4, 2, 1))


def test_frechet_and_kernel_equal_those_of_torch_fidelity() -> None:
    fid = pytest.importorskip("torch_fidelity.metric_fid")
    kid = pytest.importorskip("torch_fidelity.metric_kid")
    import torch

    a, b = rows(300, 8, 0), rows(300, 8, 1, 0.3)
    pair = [torch.from_numpy(x) for x in (a, b)]
    statistics = [fid.fid_features_to_statistics(x) for x in pair]
    theirs = fid.fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert math.isclose(frechet(a, b), theirs, rel_tol=1e-9)
    theirs = kid.kid_features_to_metric(*pair, kid_subsets=1, kid_subset_size=300, verbose=False)
    assert math.isclose(kernel_distance(a, b), theirs["kernel_inception_distance_mean"], rel_tol=1e-9)
