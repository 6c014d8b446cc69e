"""Whole slides through OpenSlide, at their full resolution."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openslide
from numpy.typing import NDArray
from openslide import OpenSlide, OpenSlideError
from translate.infer.windows import Form, Format, Reader, Tags, Writer

_MICRONS = (openslide.PROPERTY_NAME_MPP_X, openslide.PROPERTY_NAME_MPP_Y)
_OTHERS = "generic-tiff"
_DESCRIPTION, _X_RESOLUTION, _Y_RESOLUTION, _UNIT, _CENTIMETRE = 270, 282, 283, 296, 3


class SlideReader(Reader):
    """An open slide: 8-bit colours, what was not scanned in the slide's background colour."""

    def __init__(self, path: Path) -> None:
        try:
            self.slide = OpenSlide(path)
        except OpenSlideError as error:
            raise ValueError(f"OpenSlide cannot open it ({error})") from error
        width, height = self.slide.dimensions
        self.form = Form(width, height, 3, "uint8", 3)
        colour = self.slide.properties.get(openslide.PROPERTY_NAME_BACKGROUND_COLOR, "ffffff")
        self._background = np.array([int(colour[at : at + 2], 16) for at in (0, 2, 4)], np.float32)

    def read(self, y: int, x: int, h: int, w: int) -> NDArray[np.uint8]:
        """The colours of a window at full resolution."""
        try:
            pixels = np.asarray(self.slide.read_region((x, y), 0, (w, h)))
        except OpenSlideError as error:
            raise ValueError(f"OpenSlide cannot read it ({error})") from error
        colours, alpha = pixels[..., :3], pixels[..., 3:]
        if alpha.min() == 255:
            return colours
        share = alpha.astype(np.float32) / 255
        return np.rint(colours * share + self._background * (1 - share)).astype(np.uint8)

    def close(self) -> None:
        """Close the file."""
        self.slide.close()


class Slides(Format):
    """The formats of scanners that OpenSlide reads; plain TIFF is left to gantk."""

    def opens(self, path: Path) -> bool:
        """Whether OpenSlide names the scanner's format."""
        try:
            return OpenSlide.detect_format(path) not in (None, _OTHERS)
        except OpenSlideError:
            return False

    def reader(self, path: Path) -> SlideReader:
        """Open a slide."""
        return SlideReader(path)

    def writer(
        self, path: Path, form: Form, source: Reader, *, scale: int, resumed: bool, tiff: Callable[[Form, Tags], Writer]
    ) -> Writer:
        """gantk's own, with the size of a pixel; the scanner's description is of its own file."""
        assert isinstance(source, SlideReader)
        tags: dict[int, object] = {_DESCRIPTION: f"full resolution of a slide, {scale} times as large"}
        try:
            microns = [float(source.slide.properties[name]) / scale for name in _MICRONS]
        except (KeyError, ValueError):
            return tiff(form, tags)
        per_centimetre = (10_000 / size for size in microns)
        tags |= dict(zip((_X_RESOLUTION, _Y_RESOLUTION), per_centimetre, strict=True)) | {_UNIT: _CENTIMETRE}
        return tiff(form, tags)
