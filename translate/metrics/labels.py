"""How well a map of classes agrees with the true one, as segmentation is judged (Long et al., 2015, sec. 5)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from translate.dataspec import UNLABELLED

Counts = NDArray[np.int64]


def confusion(output: NDArray[np.uint8], target: NDArray[np.uint8], classes: int) -> Counts:
    """Pixels by true class (rows) and given class (columns), (classes, classes); unlabelled ones do not count.

    Two maps of class indices of one shape. Raises ``ValueError`` where shapes differ.
    """
    if output.shape != target.shape:
        raise ValueError(f"maps of different shapes: {output.shape} and {target.shape}")
    known = target < classes if classes <= UNLABELLED else np.ones_like(target, bool)
    pairs = target[known].astype(np.int64) * classes + np.minimum(output[known], classes - 1)
    counts: Counts = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    return counts


def pixel_accuracy(counts: Counts) -> float:
    """Share of the pixels whose class is right; not a number where none is labelled."""
    total = counts.sum()
    return float(np.trace(counts) / total) if total else float("nan")


def mean_iou(counts: Counts) -> float:
    """Intersection over union, in the mean over the classes that occur in either map."""
    union = counts.sum(0) + counts.sum(1) - np.diag(counts)
    found = union > 0
    return float((np.diag(counts)[found] / union[found]).mean()) if found.any() else float("nan")
