"""A made-up slide as a scanner of Aperio's writes it, translated by windows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import tifffile
from numpy.typing import NDArray
from torch import nn
from translate import DataSpec, Direction, TaskModel
from translate.contract import Nets, Networks, Phase, Source
from translate.infer import windows
from translate.infer.folder import infer
from translate.infer.options import InferOptions
from translate.infer.summary import Summary
from translate.modelfile.card import Card
from translate.modelfile.model import Published

from gantk_slides.windows import SlideReader, Slides


@dataclass(frozen=True, kw_only=True)
class Applied(TaskModel):
    """A model that is only ever applied."""

    source = Source

    def networks(self, data: DataSpec) -> Networks:
        return {}

    def phases(self, data: DataSpec) -> list[Phase]:
        return []

    def directions(self, data: DataSpec) -> list[Direction]:
        return []


def enlarging(scale: int) -> Published:
    net = nn.Upsample(scale_factor=scale, mode="nearest")
    data = DataSpec(64, {"a": 3, "b": 3}, scale=scale)
    direction = Direction("a2b", "a", "b", ("g",), lambda nets, x: nets["g"](x["a"]), scale=scale, margin=1)
    card = Card(plugin="fake", distribution="gantk", version="0", model={}, data=data, directions=())
    return Published(Path("fake"), card, Applied(), Nets({"g": net}), (direction,))


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    """600 x 500 pixels, and the same at a quarter of the sides."""
    values = np.random.default_rng(0).integers(100, 250, (50, 60, 3), dtype=np.uint8).repeat(10, 0).repeat(10, 1)
    how: dict[str, Any] = {"tile": (240, 240), "photometric": "rgb", "compression": "jpeg", "metadata": None}
    with tifffile.TiffWriter(tmp_path / "x.svs") as file:
        file.write(values, description="Aperio Image Library v1\n600x500|AppMag = 20|MPP = 0.5", **how)
        file.write(values[::4, ::4], description="Aperio Image Library v1\n150x125", subfiletype=1, **how)
    return tmp_path / "x.svs"


def pixels(path: Path) -> NDArray[np.uint8]:
    with openslide.OpenSlide(path) as file:
        return np.asarray(file.read_region((0, 0), 0, file.dimensions))[..., :3]


def run(photo: Path, out: Path, **options: Any) -> Summary:
    return infer(enlarging(2), [photo], out, InferOptions(device="cpu", tile="200", **options))


def test_it_is_installed_and_recognises_slides(slide: Path, tmp_path: Path) -> None:
    assert [type(format_) for _, format_ in windows.formats()] == [Slides]
    tifffile.imwrite(tmp_path / "plain.tif", np.zeros((64, 64, 3), np.uint8), photometric="rgb", tile=(16, 16))
    (tmp_path / "x.txt").write_text("no slide")
    assert [Slides().opens(path) for path in (slide, tmp_path / "plain.tif", tmp_path / "x.txt")] == [
        True,
        False,
        False,
    ]


def test_a_slide_is_enlarged(slide: Path, tmp_path: Path) -> None:
    assert run(slide, tmp_path / "out").done == 1
    with tifffile.TiffFile(tmp_path / "out" / "x.svs.tiff") as file:
        page = file.pages[0]
        assert (file.is_bigtiff, page.is_tiled, page.shape) == (True, True, (1000, 1200, 3))
        assert np.array_equal(page.asarray(), pixels(slide).repeat(2, 0).repeat(2, 1))
        assert page.tags[282].value[0] / page.tags[282].value[1] == pytest.approx(40_000)
        assert "Aperio" not in page.description


def test_windows_are_those_of_the_slide(slide: Path) -> None:
    reader = SlideReader(slide)
    assert np.array_equal(reader.read(230, 200, 100, 300), pixels(slide)[230:330, 200:500])
    reader.close()


def test_a_damaged_slide_is_named(slide: Path, tmp_path: Path) -> None:
    with tifffile.TiffFile(slide) as file:
        offset, count = file.pages[0].dataoffsets[4], file.pages[0].databytecounts[4]
    content = bytearray(slide.read_bytes())
    content[offset : offset + count] = b"\xaa" * count
    slide.write_bytes(content)
    summary = run(slide, tmp_path / "out")
    assert summary.exit_code == 3
    assert "OpenSlide cannot read it" in summary.failures[0][1]
    assert list((tmp_path / "out").iterdir()) == []
