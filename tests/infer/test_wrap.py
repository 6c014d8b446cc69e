"""``--wrap``: a texture that repeats is translated as one without borders."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from infer_fakes import publish
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from translate.errors import UsageError
from translate.generators.resnet import ResnetGenerator, resnet_margin
from translate.infer.folder import infer
from translate.infer.inputs import Stack
from translate.infer.options import InferOptions
from translate.infer.runner import CannotTranslateError, Network
from translate.infer.tiling import spans, wrapped
from translate.modelfile.model import Published

CPU = torch.device("cpu")


def network(model: Published, **options: object) -> Network:
    return Network(model, model.directions[0], CPU, InferOptions(wrap=True, **options))  # type: ignore[arg-type]


def texture(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


def translated(net: Network, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    (result,) = net.translate([pixels])
    return np.array(result.canvas.read(0, result.canvas.shape[0]))


def convolutions(mode: str) -> nn.Sequential:
    torch.manual_seed(0)
    first = nn.Conv2d(3, 6, 5, padding=2, padding_mode=mode)
    return nn.Sequential(first, nn.Tanh(), nn.Conv2d(6, 3, 3, padding=1, padding_mode=mode), nn.Tanh())


@pytest.mark.parametrize("length", [8, 12, 40, 64, 100])
@pytest.mark.parametrize("around", [12, 20])
def test_cores_cover_the_picture_and_have_their_margin_on_both_sides(length: int, around: int) -> None:
    found = spans(length + 2 * around, 40, 12, around)
    assert (found[0].core_start, found[-1].core_stop) == (around, around + length)
    assert all(one.core_stop == two.core_start for one, two in pairwise(found))
    for span in found:
        assert 0 <= span.start <= span.core_start - 12
        assert span.core_stop + 12 <= span.stop <= length + 2 * around
        assert span.stop - span.start <= 40
        assert span.start % 4 == 0


@pytest.mark.parametrize("tile", ["auto", "24"])
@pytest.mark.parametrize("size", [(40, 56), (33, 47), (5, 70)])
def test_convolutions_are_those_on_a_torus(size: tuple[int, int], tile: str) -> None:
    pixels = texture(*size)
    circular = network(publish(convolutions("circular"), margin=3))
    expected = circular.forward(circular.tensor([Stack((pixels,))]))
    shown = circular.levels.to_pixels(expected, np.dtype(np.uint8))[0]
    ours = translated(network(publish(convolutions("zeros"), margin=3), tile=tile), pixels)
    assert np.abs(ours.astype(int) - shown).max() <= 1


@pytest.mark.parametrize("tile", ["auto", "64"])
def test_rolled_in_equals_rolled_out_under_instance_norm(tile: str) -> None:
    torch.manual_seed(0)
    generator = ResnetGenerator(3, 3, base=4, blocks=2)
    model = publish(generator, multiple=4, margin=resnet_margin(2))
    pixels = texture(72, 96)
    one = translated(network(model, tile=tile), pixels)
    two = translated(network(model, tile=tile), np.roll(pixels, (20, -36), (0, 1)))
    assert np.abs(np.roll(one, (20, -36), (0, 1)).astype(int) - two).max() <= 1
    with_borders = Network(model, model.directions[0], CPU, InferOptions())
    assert np.abs(translated(with_borders, pixels).astype(int) - one).max() > 1


def test_an_enlarged_texture_fits_together() -> None:
    torch.manual_seed(0)
    enlarge = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2), nn.Tanh())
    model = publish(enlarge, scale=2, margin=1)
    pixels = texture(30, 21)
    one, two = (translated(network(model), each) for each in (pixels, np.roll(pixels, (7, 5), (0, 1))))
    assert one.shape == (60, 42, 3)
    assert np.abs(np.roll(one, (14, 10), (0, 1)).astype(int) - two).max() <= 1


def test_surroundings_repeat_as_often_as_it_takes() -> None:
    pixels = texture(20, 17)
    surrounded = wrapped(pixels, 4, 40)
    assert surrounded.shape == (100, 100, 3)
    for row, column in ((0, 0), (55, 99), (99, 31)):
        assert np.array_equal(surrounded[row, column], pixels[(row - 40) % 20, (column - 40) % 17])


def test_a_model_that_needs_the_whole_picture_is_named(tmp_path: Path) -> None:
    Image.fromarray(texture(30, 30)).save(tmp_path / "x.png")
    model = publish(nn.Identity(), margin=None)
    with pytest.raises(CannotTranslateError, match="cannot --wrap"):
        network(model).translate([texture(30, 30)])
    summary = infer(model, [tmp_path / "x.png"], tmp_path / "out", InferOptions(device="cpu", wrap=True))
    assert summary.failed == 1


def test_wrap_without_tiles_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--wrap --tile off"):
        InferOptions(wrap=True, tile="off")
