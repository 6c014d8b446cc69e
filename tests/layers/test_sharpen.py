"""The unsharp mask of Real-ESRGAN, against its rule written out."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import correlate

from translate.layers.sharpen import sharpened


def test_it_is_the_authors_unsharp_mask() -> None:
    """OpenCV's Gaussian of 51 taps, half of what it takes away, where that is more than 10 levels."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 40, 36, generator=generator, dtype=torch.float64) * 2 - 1
    taps = np.arange(51) - 25
    line = np.exp(-(taps**2) / (2 * 8.0**2))
    kernel = np.outer(line, line) / line.sum() ** 2
    expected = np.empty(image.shape)
    for n in range(2):
        for c in range(3):
            plane = (image[n, c].numpy() + 1) / 2
            residual = plane - correlate(plane, kernel, mode="mirror")
            mask = correlate((np.abs(residual) * 255 > 10).astype(float), kernel, mode="mirror")
            sharp = np.clip(plane + 0.5 * residual, 0, 1)
            expected[n, c] = (mask * sharp + (1 - mask) * plane) * 2 - 1
    torch.testing.assert_close(sharpened(image), torch.from_numpy(expected), rtol=0, atol=1e-9)


def test_a_flat_picture_stays_and_a_small_one_is_taken() -> None:
    flat = torch.full((1, 1, 64, 64), 0.25)
    torch.testing.assert_close(sharpened(flat), flat)
    assert sharpened(torch.rand(1, 3, 8, 8)).shape == (1, 3, 8, 8)
