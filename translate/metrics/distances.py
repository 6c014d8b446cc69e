"""How far one set of pictures is from another, by features of both: (N, D) in float64, one row for each picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float64]


def frechet(first: Features, second: Features) -> float:
    """Squared Frechet distance between the normal distributions of two sets (Dowson and Landau, 1982).

    ``|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))`` with the means and the unbiased covariances of the rows; Heusel et
    al. (2017, eq. 6) take features of Inception. The trace of the root is the sum of the singular values of ``A B^T``
    where ``C1 = A^T A`` and ``C2 = B^T B``, so that no covariance is formed. Raises ``ValueError`` for less than two
    rows.
    """
    _check(first, second)
    a, b = _factor(first), _factor(second)
    root = np.linalg.norm(a @ b.T, "nuc")
    return float(np.square(first.mean(0) - second.mean(0)).sum() + np.square(a).sum() + np.square(b).sum() - 2 * root)


def kernel_distance(first: Features, second: Features) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel ``(x y / D + 1)^3`` (Binkowski et al., 2018, sec. 4).

    Zero in the mean where both sets come from one distribution, so slightly below it as often as above. Raises
    ``ValueError`` for less than two rows.
    """
    _check(first, second)
    same = 0.0
    for rows in (first, second):
        kernel = _cubic(rows, rows)
        same += (kernel.sum() - np.trace(kernel)) / (len(rows) * (len(rows) - 1))
    return float(same - 2 * _cubic(first, second).mean())


def density_coverage(fakes: Features, reals: Features, neighbours: int = 5) -> tuple[float, float]:
    """Density and coverage (Naeem et al., 2020, eq. 3 and 4) of ``fakes`` among ``reals``.

    Density: how many balls, of ``neighbours``, each fake lies in, where a ball reaches from a real to its k-th
    neighbour among the reals; 1 where both come from one distribution. Coverage: the share of balls with a fake in
    them, at most 1. Raises ``ValueError`` for no more reals than neighbours.
    """
    _check(fakes, reals)
    if len(reals) <= neighbours:
        raise ValueError(f"density and coverage need more than {neighbours} real pictures, got {len(reals)}")
    radius = np.partition(_distances(reals, reals), neighbours, axis=1)[:, neighbours]
    inside = _distances(reals, fakes) <= radius[:, None]
    return float(inside.sum(0).mean() / neighbours), float(inside.any(1).mean())


def _factor(rows: Features) -> Features:
    """A with ``A^T A`` the covariance, of no more rows than columns."""
    factor: Features = (rows - rows.mean(0)) / np.sqrt(len(rows) - 1)
    if len(factor) <= factor.shape[1]:
        return factor
    reduced: Features = np.linalg.qr(factor, mode="reduced").R
    return reduced


def _cubic(first: Features, second: Features) -> Features:
    result: Features = (first @ second.T / first.shape[1] + 1) ** 3
    return result


def _distances(first: Features, second: Features) -> Features:
    squares = np.square(first).sum(1)[:, None] + np.square(second).sum(1) - 2 * first @ second.T
    result: Features = np.sqrt(np.maximum(squares, 0))
    return result


def _check(first: Features, second: Features) -> None:
    if min(len(first), len(second)) < 2:
        raise ValueError(f"a distance between sets needs two pictures of each, got {len(first)} and {len(second)}")
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"features of different lengths: {first.shape[1]} and {second.shape[1]}")
