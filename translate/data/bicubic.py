"""The bicubic resize that super-resolution data sets use: MATLAB's ``imresize``, antialiased.

Its pixels differ from those of Pillow, OpenCV and torch (other kernel width, borders or coefficient), by enough to
cost a network trained on one of them more than 1 dB on the others.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from translate.data.values import Pixels, white_of

Floats = NDArray[np.float32]


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic convolution kernel with a = -1/2 (Keys, 1981, eq. 15)."""
    a = np.abs(x)
    near = 1.5 * a**3 - 2.5 * a**2 + 1
    far = -0.5 * a**3 + 2.5 * a**2 - 4 * a + 2
    return np.where(a <= 1, near, np.where(a <= 2, far, 0.0))


def _taps(length: int, out: int, factor: float) -> tuple[NDArray[np.intp], Floats]:
    """The input pixels of which each output pixel of one axis is a sum, (out, taps), and their weights, (out, taps).

    When shrinking, the kernel is stretched by 1 / factor, which makes it a low-pass filter. Beyond the border the
    image is mirrored, edge pixel included.
    """
    stretch = min(factor, 1.0)
    count = math.ceil(4 / stretch) + 2
    centre = (np.arange(out) + 0.5) / factor - 0.5
    index = np.floor(centre - 2 / stretch).astype(np.intp)[:, None] + 1 + np.arange(count)
    weight = _cubic((centre[:, None] - index) * stretch)
    weight /= weight.sum(axis=1, keepdims=True)
    used = np.any(weight != 0, axis=0)
    index = np.mod(index[:, used], 2 * length)
    return np.where(index < length, index, 2 * length - 1 - index), weight[:, used].astype(np.float32)


def _along_rows(image: Pixels, out: int, factor: float) -> Pixels:
    index, weight = _taps(image.shape[0], out, factor)
    result = np.zeros((out, *image.shape[1:]), np.float32)
    for tap in range(index.shape[1]):  # a few dozen passes over whole rows: far less memory than gathering all taps
        result += weight[:, tap, None, None] * image[index[:, tap]]
    result = np.clip(result, 0, white_of(image.dtype))
    return result if image.dtype.kind == "f" else np.floor(result + 0.5).astype(image.dtype)


def resize(image: Pixels, factor: float) -> Pixels:
    """``image`` (H, W, C) resized by ``factor`` (1/4: a quarter of the side; 4: four times it).

    The output is ceil(H * factor) x ceil(W * factor). Equal to MATLAB's ``imresize(image, factor, "bicubic")`` to
    within one grey level.
    """
    height, width = (math.ceil(round(side * factor, 6)) for side in image.shape[:2])
    rows = _along_rows(image, height, factor)  # rounded to whole numbers before the columns follow, as MATLAB does
    columns = _along_rows(np.ascontiguousarray(rows.transpose(1, 0, 2)), width, factor)
    return np.ascontiguousarray(columns.transpose(1, 0, 2))


def crop_to_multiple(image: Pixels, multiple: int) -> Pixels:
    """The upper left part of ``image`` (H, W, C) whose sides are multiples of ``multiple``, as data sets are cut."""
    height, width = (side - side % multiple for side in image.shape[:2])
    return image[:height, :width]
