"""How sure a figure is: its spread over samples drawn again from the pictures at hand (Efron, 1979)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NORMAL_95 = 1.959964
"""Standard deviations from the mean within which 95 % of a normal distribution lie."""

_STUDENT_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


def student_95(freedom: int) -> float:
    """The same for Student's t with so many degrees of freedom: what is known of a spread by few values."""
    return _STUDENT_95[freedom - 1] if freedom <= len(_STUDENT_95) else NORMAL_95 + 2.6 / freedom


Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Estimate:
    """A value with its standard error; ``low`` to ``high`` is the 95 % interval."""

    value: float
    error: float

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.value - NORMAL_95 * self.error

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.value + NORMAL_95 * self.error


def of_mean(values: Sequence[float], *, draws: int = 1000, seed: int = 0) -> Estimate:
    """The mean of one value for each picture. The error is 0 for a single one."""
    numbers = np.asarray(values, np.float64)
    chosen = np.random.default_rng(seed).integers(len(numbers), size=(draws, len(numbers)))
    return Estimate(float(numbers.mean()), float(numbers[chosen].mean(1).std()))


def of_sets(
    figure: Callable[[Indices, Indices], float], sizes: tuple[int, int], value: float, *, draws: int, seed: int = 0
) -> Estimate:
    """A ``value`` of two sets of so many pictures; ``figure`` computes it from pictures chosen by number.

    The interval stands around ``value`` with the spread of the draws, not at their quantiles: a set drawn with
    replacement has duplicates, which moves the mean of every distance between sets.
    """
    rng = np.random.default_rng(seed)
    drawn = [figure(*(rng.integers(size, size=size) for size in sizes)) for _ in range(draws)]
    return Estimate(value, float(np.std(drawn)))
