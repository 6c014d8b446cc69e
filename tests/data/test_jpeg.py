"""JPEG on tensors, against Pillow's and against the rule written out."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from translate.data.jpeg import jpeg


def picture(channels: int = 3, height: int = 48, width: int = 64) -> Tensor:
    """Smooth, with edges, as photos are."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    planes = [0.5 + 0.4 * torch.sin(9 * x + 4 * y), y * 0.8 + 0.1, ((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.1) * 0.7 + 0.1]
    return torch.stack(planes[:channels])[None]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [30, 60, 95])
def test_pillow_s_jpeg_loses_the_same(channels: int, quality: int) -> None:
    given = (picture(channels) * 255).round() / 255
    pixels = (given[0].permute(1, 2, 0) * 255).byte().numpy()
    file = io.BytesIO()
    whole = Image.fromarray(pixels if channels == 3 else pixels[:, :, 0])
    whole.save(file, "JPEG", quality=quality, subsampling=2)
    theirs = torch.from_numpy(np.asarray(Image.open(file)).astype(np.float32) / 255).view(48, 64, channels)
    ours = jpeg(given, quality)[0].permute(1, 2, 0)
    weights = torch.tensor([0.299, 0.587, 0.114]) if channels == 3 else torch.ones(1)
    source, theirs, ours = ((x * weights).sum(2) for x in (given[0].permute(1, 2, 0), theirs, ours))
    lost = (theirs - source).square().mean().sqrt()
    # libjpeg rounds its tables and enlarges the colours smoothly; what remains is less than what was lost.
    assert (ours - theirs).square().mean().sqrt() < max(0.7 * lost, 2 / 255)
    assert (ours - source).square().mean().sqrt() == pytest.approx(float(lost), rel=0.3, abs=1 / 255)


def test_a_block_is_rounded_to_multiples_of_the_table() -> None:
    """One frequency of grey: quality 50 leaves the standard's table as it is, 25 doubles it."""
    x = torch.arange(8)
    wave = torch.cos((2 * x + 1) * 3 * torch.pi / 16) / 2  # horizontal frequency 3, norm 1
    column = torch.full((8,), 8**-0.5)
    given = (torch.outer(column, wave) * 40 + 128).view(1, 1, 8, 8) / 255
    for quality, step in ((50, 16), (25, 32)):
        kept = round(40 / step) * step
        expected = (torch.outer(column, wave) * kept + 128).view(1, 1, 8, 8) / 255
        torch.testing.assert_close(jpeg(given, quality), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(5, 9), (16, 16), (17, 33)])
def test_any_size_and_quality(size: tuple[int, int]) -> None:
    for quality in (1, 49.5, 100):
        coded = jpeg(picture(3, *size), quality)
        assert coded.shape == (1, 3, *size)
        assert coded.isfinite().all()
        assert 0 <= coded.min() <= coded.max() <= 1
