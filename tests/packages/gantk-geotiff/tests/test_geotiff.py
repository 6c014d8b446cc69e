"""Small GeoTIFFs, translated by windows: they lie where they lay, and have no data where they had none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window
from torch import nn
from translate import DataSpec, Direction, TaskModel
from translate.contract import Nets, Networks, Phase, Source
from translate.infer import windows
from translate.infer.folder import infer
from translate.infer.options import InferOptions
from translate.infer.summary import Summary
from translate.modelfile.card import Card
from translate.modelfile.model import Published

from gantk_geotiff.windows import GeoReader, GeoTiff

PLACE = Affine(0.5, 0.1, 448_000.0, 0.1, -0.5, 5_411_000.0)


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


def enlarging(scale: int = 2, channels: int = 3) -> Published:
    net = nn.Upsample(scale_factor=scale, mode="nearest")
    data = DataSpec(64, {"a": channels, "b": channels}, scale=scale)
    direction = Direction("a2b", "a", "b", ("g",), lambda nets, x: nets["g"](x["a"]), scale=scale, margin=1)
    card = Card(plugin="fake", distribution="gantk", version="0", model={}, data=data, directions=())
    return Published(Path("fake"), card, Applied(), Nets({"g": net}), (direction,))


def numbers(bands: int = 3, kind: str = "uint8", size: tuple[int, int] = (70, 90)) -> NDArray[Any]:
    return np.random.default_rng(0).integers(10, 200, (bands, *size)).astype(kind)


def write(path: Path, values: NDArray[Any], **profile: Any) -> Path:
    shape = {"count": values.shape[0], "height": values.shape[1], "width": values.shape[2], "dtype": values.dtype.name}
    how = {
        "driver": "GTiff",
        "crs": "EPSG:32632",
        "transform": PLACE,
        "tiled": True,
        "blockxsize": 32,
        "blockysize": 32,
    }
    colours = {"photometric": "rgb"} if values.shape[0] == 3 else {}
    with rasterio.open(path, "w", **shape, **(how | colours | profile)) as file:
        file.write(values)
    return path


def run(photo: Path, out: Path, model: Published | None = None, **options: Any) -> Summary:
    return infer(model or enlarging(), [photo], out, InferOptions(device="cpu", tile="32", **options))


def test_it_is_installed() -> None:
    assert [type(format_) for _, format_ in windows.formats()] == [GeoTiff]


def test_a_result_lies_where_the_picture_lay(tmp_path: Path) -> None:
    values = numbers()
    photo = write(tmp_path / "x.tif", values, compress="deflate")
    assert run(photo, tmp_path / "out").done == 1
    with rasterio.open(photo) as before, rasterio.open(tmp_path / "out" / "x.tif") as after:
        assert after.crs == before.crs
        assert after.transform.almost_equals(Affine(0.25, 0.05, PLACE.c, 0.05, -0.25, PLACE.f))
        assert after.xy(0, 0, offset="ul") == pytest.approx(before.xy(0, 0, offset="ul"))
        assert after.xy(139, 179, offset="lr") == pytest.approx(before.xy(69, 89, offset="lr"))
        assert after.nodata is None
        assert np.array_equal(after.read(), values.repeat(2, 1).repeat(2, 2))


def test_no_data_stays_no_data(tmp_path: Path) -> None:
    values = numbers()
    values[:, :40, 30:] = 7
    values[:, 60, 5] = (7, 8, 7)  # dark data, in no single band alone
    photo = write(tmp_path / "x.tif", values, nodata=7)
    assert run(photo, tmp_path / "out", enlarging(1)).done == 1
    with rasterio.open(photo) as before, rasterio.open(tmp_path / "out" / "x.tif") as after:
        assert (after.nodata, after.count) == (7, 3)
        assert np.array_equal(after.dataset_mask(), before.dataset_mask())
        assert np.array_equal(after.read(), values)


def test_data_that_happens_to_be_the_number_is_moved(tmp_path: Path) -> None:
    values = np.full((1, 40, 40), 100, np.uint8)
    values[:, :8] = 0
    photo = write(tmp_path / "x.tif", values, nodata=0)

    class Black(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x.clone()
            y[..., 0] = -1
            return y

    model = enlarging(1, 1)
    model.nets["g"] = Black()
    assert run(photo, tmp_path / "out", model).done == 1
    with rasterio.open(tmp_path / "out" / "x.tif") as after:
        assert np.array_equal(after.dataset_mask() > 0, values[0] > 0)
        assert set(after.read(1)[8:, 0]) == {1}


def test_heights_below_the_sea(tmp_path: Path) -> None:
    values = np.linspace(-50, 400, 4000).reshape(1, 50, 80).astype(np.int16)
    values[:, :10] = -9999
    photo = write(tmp_path / "x.tif", values, nodata=-9999)
    assert run(photo, tmp_path / "out", enlarging(1, 1), range="-100..900").done == 1
    with rasterio.open(tmp_path / "out" / "x.tif") as after:
        assert (after.nodata, after.dtypes) == (-9999, ("float32",))
        assert np.abs(after.read() - values).max() < 0.01


def test_the_place_is_left_out_where_it_is_asked(tmp_path: Path) -> None:
    run(write(tmp_path / "x.tif", numbers()), tmp_path / "out", strip_location=True)
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(tmp_path / "out" / "x.tif") as after:
        assert after.crs is None


def test_windows_are_those_of_the_file(tmp_path: Path) -> None:
    photo = write(tmp_path / "x.tif", numbers(5, "uint16"))
    reader = GeoReader(photo)
    assert (reader.form.channels, reader.form.colours, reader.form.alpha) == (5, 0, False)
    with rasterio.open(photo) as file:
        expected = file.read(window=Window(20, 10, 50, 60)).transpose(1, 2, 0)
    assert np.array_equal(reader.read(10, 20, 60, 50), expected)
    reader.close()


def test_other_tiffs_are_left_to_gantk(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("II")
    plain = write(tmp_path / "x.tif", numbers(), crs=None, transform=None)
    assert not GeoTiff().opens(plain)
    assert not GeoTiff().opens(tmp_path / "x.txt")
    assert GeoTiff().opens(write(tmp_path / "y.tif", numbers()))


def test_a_damaged_block_is_named(tmp_path: Path) -> None:
    photo = write(tmp_path / "x.tif", numbers(), compress="deflate")
    content = bytearray(photo.read_bytes())
    content[-9000:-8000] = b"\xaa" * 1000
    photo.write_bytes(content)
    summary = run(photo, tmp_path / "out")
    assert summary.exit_code == 3
    assert "GDAL cannot read it" in summary.failures[0][1]
    assert list((tmp_path / "out").iterdir()) == []
