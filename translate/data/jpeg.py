"""JPEG's losses on tensors: what compression does to a picture, without a file."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = ((17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99))
_TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


def jpeg(image: Tensor, quality: float) -> Tensor:
    """(N, C, H, W) in [0, 1], C 1 or 3 -> the same after JPEG of a quality from 1 to 100.

    The standard's tables (ITU-T T.81, annex K) and libjpeg's scale of quality, colours at half the resolution (4:2:0).
    As in the code of Wang et al. (2021) the scaled tables stay fractions (of 1 at least), and blocks that stick out are
    filled with black.
    """
    height, width = image.shape[2:]
    block = 16 if image.shape[1] == 3 else 8
    x = F.pad(image, (0, -width % block, 0, -height % block)) * 255
    factor = (50 / quality) if quality < 50 else 2 - quality / 50
    luma = torch.tensor(_LUMA, dtype=x.dtype, device=x.device) * factor
    if image.shape[1] == 1:
        coded = _quantised(x - 128, luma) + 128
    else:
        chroma = torch.full((8, 8), 99.0, dtype=x.dtype, device=x.device)
        chroma[:4, :4] = torch.tensor(_CHROMA, dtype=x.dtype, device=x.device)
        matrix = torch.tensor(_TO_YCBCR, dtype=x.dtype, device=x.device)
        planes = torch.einsum("kc,nchw->nkhw", matrix, x)
        bright = _quantised(planes[:, :1] - 128, luma) + 128
        colour = F.interpolate(_quantised(F.avg_pool2d(planes[:, 1:], 2), chroma * factor), scale_factor=2.0)
        coded = torch.einsum("ck,nkhw->nchw", torch.linalg.inv(matrix), torch.cat([bright, colour], 1))
    return (coded[:, :, :height, :width] / 255).clamp(0, 1)


def _quantised(planes: Tensor, table: Tensor) -> Tensor:
    """The cosine transform of every 8x8 block, rounded to multiples of the table (8, 8), and back."""
    count, channels, height, width = planes.shape
    blocks = planes.reshape(count, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    dct = _dct().to(planes)
    coefficients = dct @ blocks @ dct.T
    steps = table.clamp(min=1)
    rounded = (coefficients / steps).round() * steps
    return (dct.T @ rounded @ dct).transpose(3, 4).reshape(planes.shape)


@cache
def _dct() -> Tensor:
    """The orthonormal cosine transform of 8 values, one frequency per row."""
    frequency, place = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    matrix = torch.cos((2 * place + 1) * frequency * math.pi / 16) / 2
    matrix[0] /= math.sqrt(2)
    return matrix
