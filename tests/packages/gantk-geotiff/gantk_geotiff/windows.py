"""GeoTIFF through rasterio: what has no data is transparent to the network, and has none in the result."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import tifffile
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile
from rasterio.windows import Window
from translate.infer.windows import Form, Format, Reader, Tags, Writer

warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)  # which is what ``opens`` finds out

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_OF_THE_GROUND = (33550, 33922, 34264, 34735, 34736, 34737, 42113)
"""GeoTIFF's tags, and the one in which GDAL keeps the number that stands for no data."""

_CACHE = 64
"""MiB of blocks that GDAL keeps; its own default is a share of all memory."""


class GeoReader(Reader):
    """An open GeoTIFF. ``nodata``: the number of its own that stands for no data, which becomes transparency."""

    def __init__(self, path: Path) -> None:
        try:
            with rasterio.Env(GDAL_CACHEMAX=_CACHE):
                self.data = rasterio.open(path, driver="GTiff")
        except RasterioError as error:
            raise ValueError(f"not readable as GeoTIFF ({error})") from error
        kinds, meant = set(self.data.dtypes), self.data.colorinterp
        if len(kinds) > 1:
            raise ValueError(f"its bands are of different types: {', '.join(sorted(kinds))}")
        kind, bands = np.dtype(kinds.pop()), self.data.count
        own_alpha = bands in (2, 4) and meant[-1] == ColorInterp.alpha
        colours = bands - own_alpha
        if not (colours == 1 or meant[:3] == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)) or colours > 3:
            colours = 0
        self.nodata: float | None = self.data.nodata if colours and not own_alpha else None
        bits = int(self.data.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 0))
        if self.nodata is not None and kind.kind == "i":  # signed numbers have no room for transparency
            kind, bits = np.promote_types(kind, np.float32), 0
        alpha = bool(own_alpha or self.nodata is not None)
        channels = bands + (self.nodata is not None)
        self.form = Form(self.data.width, self.data.height, channels, kind.name, colours, alpha=alpha, bits=bits)

    def read(self, y: int, x: int, h: int, w: int) -> NDArray[Any]:
        """The numbers of a window, without data where there is none: 0, and transparent."""
        window = Window(x, y, w, h)
        try:
            values: NDArray[Any] = self.data.read(window=window).transpose(1, 2, 0)
            if self.nodata is None:
                return values
            seen = self.data.dataset_mask(window=window) > 0
        except RasterioError as error:
            raise ValueError(f"GDAL cannot read it ({error.__cause__ or error})") from error
        values = np.where(seen[:, :, None], values, 0).astype(self.form.dtype)
        return np.concatenate([values, (seen * _most(self.form)).astype(values.dtype)[:, :, None]], axis=2)

    def close(self) -> None:
        """Close the file."""
        self.data.close()


class NoDataWriter(Writer):
    """Writes numbers with transparency as numbers of which one stands for no data."""

    def __init__(self, inner: Writer, nodata: float) -> None:
        self._inner = inner
        self._nodata = nodata

    def write(self, y: int, x: int, tile: NDArray[Any]) -> None:
        """Write a tile: no data where it is transparent, and the next number where data happens to be that one."""
        values, seen = tile[..., :-1].copy(), tile[..., -1] > 0
        values[seen & (values == self._nodata).all(axis=2)] = _beside(self._nodata, values.dtype)
        values[~seen] = self._nodata
        self._inner.write(y, x, values)

    def flush(self) -> None:
        """Bring onto the disk what was written so far."""
        self._inner.flush()

    def finish(self) -> None:
        """Complete and close the file."""
        self._inner.finish()

    def close(self) -> None:
        """Close the file as it is."""
        self._inner.close()


class GeoTiff(Format):
    """TIFFs that state where they lie, or which number stands for no data."""

    def opens(self, path: Path) -> bool:
        """Whether it is one, by what GDAL says of its header."""
        with path.open("rb") as file:
            if file.read(4) not in _TIFF:
                return False
        try:
            with rasterio.open(path, driver="GTiff") as data:
                return data.crs is not None or data.nodata is not None
        except RasterioError:
            return False

    def reader(self, path: Path) -> GeoReader:
        """Open a GeoTIFF."""
        return GeoReader(path)

    def writer(
        self, path: Path, form: Form, source: Reader, *, scale: int, resumed: bool, tiff: Callable[[Form, Tags], Writer]
    ) -> Writer:
        """gantk's own, with the place of ``source`` on the ground, of which each pixel covers a smaller piece now."""
        assert isinstance(source, GeoReader)
        nodata = source.nodata
        kept = nodata is not None and form.alpha and _holds(form.dtype, nodata)
        tags = _tags(source, scale, nodata if kept else None)
        if not kept:
            return tiff(form, tags)
        assert nodata is not None
        return NoDataWriter(tiff(replace(form, channels=form.channels - 1, alpha=False), tags), nodata)


def _tags(source: GeoReader, scale: int, nodata: float | None) -> Tags:
    """The tags by which GDAL itself describes the place, whatever file that comes from."""
    data = source.data
    old = data.transform
    place = {
        "crs": data.crs,
        "transform": Affine(old.a / scale, old.b / scale, old.c, old.d / scale, old.e / scale, old.f),
    }
    shape = {"driver": "GTiff", "width": 1, "height": 1, "count": 1, "dtype": "float64", "nodata": nodata}
    with MemoryFile() as memory:
        with memory.open(**shape, **place) as one:
            one.write(np.zeros((1, 1, 1)))
        with tifffile.TiffFile(BytesIO(memory.read())) as file:
            found = file.pages[0].tags
            return {tag: found[tag].value for tag in _OF_THE_GROUND if tag in found}


def _holds(kind: str, value: float) -> bool:
    """Whether numbers of this type can be the value."""
    of = np.dtype(kind)
    if of.kind == "f":
        return True
    return value == int(value) and np.iinfo(of).min <= value <= np.iinfo(of).max


def _beside(value: float, kind: np.dtype[Any]) -> float:
    if kind.kind == "f":
        return float(np.nextafter(kind.type(value), kind.type(0) if value else kind.type(1)))
    return value + 1 if value < np.iinfo(kind).max else value - 1


def _most(form: Form) -> float:
    kind = np.dtype(form.dtype)
    return 1.0 if kind.kind == "f" else float(2**form.bits - 1)
