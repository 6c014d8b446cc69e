"""Pixel accuracy and intersection over union."""

from __future__ import annotations

import math

import numpy as np
import pytest

from translate.metrics.labels import confusion, mean_iou, pixel_accuracy


def test_accuracy_and_iou_of_a_small_map() -> None:
    target = np.array([[0, 0, 1], [1, 2, 255]], np.uint8)
    output = np.array([[0, 1, 1], [1, 0, 2]], np.uint8)
    counts = confusion(output, target, 4)
    assert counts.sum() == 5  # the unlabelled pixel does not count
    assert pixel_accuracy(counts) == pytest.approx(3 / 5)
    assert mean_iou(counts) == pytest.approx((1 / 3 + 2 / 3 + 0) / 3)  # class 3 occurs nowhere


def test_nothing_labelled() -> None:
    nothing = np.full((2, 2), 255, np.uint8)
    assert math.isnan(pixel_accuracy(confusion(nothing, nothing, 3)))
    assert math.isnan(mean_iou(confusion(nothing, nothing, 3)))


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="different shapes"):
        confusion(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8), 2)
