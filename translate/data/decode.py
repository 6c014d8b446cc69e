"""Image files, decoded into pixels: upright, with the channels that are wanted, by one rule of what numbers mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from translate.data.alpha import without_hidden
from translate.data.colour import to_srgb
from translate.data.deep import Deep, chunk_kinds, deep_header
from translate.data.formats import ImageError as ImageError
from translate.data.formats import TooLargeError as TooLargeError
from translate.data.formats import check_png, check_size, first_bytes, image_error, open_header, quieten_pillow
from translate.data.values import WHOLE, Numbers, at_depth, in_bands, to_pixels, white_of
from translate.data.values import Pixels as Pixels
from translate.reading import LUMA_WEIGHTS, STANDARD, Reading

LOOKED_AT = 256
"""Files whose headers decide whether a folder looks grey: a few hundredths of a second, however many there are."""

MOST_LABELS = 64
"""Colours of a palette picture up to which it counts as a label map."""

LUMA = "in colour, but the network takes one channel: its luma"
FRAMES = "several frames, of which the first is read"
_ORIENTATION, _BITS_PER_SAMPLE = 0x0112, 258
UPRIGHT: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels),
}
"""EXIF orientation -> what makes (H, W, ...) upright; 1 and whatever is not listed need nothing."""


@dataclass
class Decoded:
    """``pixels``: (H, W, channels), upright. ``alpha``: (H, W) of the same type, where the file has transparency and
    ``pixels`` have no room for it. ``numbers``: how the file stores its own. ``notes``: what a user should know.
    ``bands``: whether the channels are no colours. ``labels``: whether it is a palette picture of few colours, as label
    maps are, which have no mean."""

    pixels: Pixels
    alpha: Pixels | None
    numbers: Numbers
    notes: list[str] = field(default_factory=list)
    bands: bool = False
    labels: bool = False


@dataclass(frozen=True)
class Opened:
    """A picture file of which the header is read. ``image``: Pillow's, where Pillow opens it; ``deep``: where it has to
    be read otherwise. ``turned``: the EXIF orientation that the file states, of which Pillow knows no more once it has
    decoded a TIFF."""

    path: Path
    reading: Reading
    image: Image.Image | None
    deep: Deep | None
    turned: int = 1

    @property
    def orientation(self) -> int:
        """EXIF's, 1 where there is none."""
        if self.image is None:
            return 1 if self.deep is None else self.deep.orientation
        if self.deep is not None and not _has_exif(self.image) and b"eXIf" not in chunk_kinds(self.path):
            return 1  # Pillow would decode the whole picture to look behind it
        return orientation(self.image)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright picture."""
        if self.deep is not None:
            width, height = self.deep.width, self.deep.height
        else:
            assert self.image is not None
            width, height = self.image.size
            if self.image.format == "TIFF":  # of which Pillow swaps the sides itself
                return width, height
        # A PNG's EXIF may stand behind the pixels, where a header ends.
        known = self.image is None or self.image.format != "PNG" or _has_exif(self.image)
        return (height, width) if known and self.orientation in (5, 6, 7, 8) else (width, height)

    @property
    def mode(self) -> str:
        """Pillow's mode, or what comes nearest to it."""
        if self.deep is not None:
            return self.deep.mode
        assert self.image is not None
        return self.image.mode

    def decode(self, channels: int) -> Decoded:
        """The whole picture. Raises ``ImageError`` where it is damaged, or has other channels than are wanted."""
        quieten_pillow()
        try:
            decoded = self._deep(self.deep, channels) if self.deep is not None else self._shallow(channels)
        except Exception as error:
            # Decoders raise anything from struct.error to TypeError on broken input.
            raise image_error(self.path, error) from None
        if self.reading.remarks is not None:
            self.reading.remarks.add(note for note in decoded.notes if note != LUMA)  # which a run asks for
        return decoded

    def values(self) -> NDArray[Any]:
        """The file's own numbers, without those of transparency."""
        try:
            if self.deep is not None:
                return self.deep.read()[..., : self.deep.bands - self.deep.alpha]
            assert self.image is not None
            self.image.load()
            return np.asarray(self.image.convert("RGB") if self.image.has_transparency_data else self.image)
        except Exception as error:
            raise image_error(self.path, error) from None

    def _deep(self, deep: Deep, channels: int) -> Decoded:
        if not deep.colours and deep.bands != channels:
            raise ImageError(self.path, f"it has {deep.counted}; expected {channels} channels")
        if self.image is not None:
            check_png(self.path, self.image)
        values = deep.read()
        if (turn := UPRIGHT.get(self.orientation)) is not None:
            values = np.ascontiguousarray(turn(values))
        alpha = None
        if deep.alpha:
            values, last = values[..., :-1], values[..., -1]
            alpha = to_pixels(last, deep.bits, None)[0]
            if deep.premultiplied:
                values = _unmultiplied(values, alpha)
        pixels, numbers = to_pixels(values, deep.bits, self.reading.range)
        if deep.inverted:
            pixels = _white(pixels) - pixels
        notes = [FRAMES] if deep.frames > 1 else []
        if not deep.colours:
            return Decoded(pixels, None, numbers, notes, bands=True)
        return self._with_channels(
            pixels, None if alpha is None else at_depth(alpha, pixels.dtype), channels, numbers, notes
        )

    def _shallow(self, channels: int) -> Decoded:
        image, notes = self.image, list[str]()
        assert image is not None
        if getattr(image, "is_animated", False):
            notes.append(FRAMES)
        check_png(self.path, image)
        image.load()
        turn = UPRIGHT.get(orientation(image)) or (lambda pixels: pixels)
        if image.mode.startswith("I") or image.mode == "F":
            values = turn(np.asarray(image))[:, :, None]
            pixels, numbers = to_pixels(values, 16, self.reading.range)
            return self._with_channels(pixels, None, channels, numbers, notes)
        few = image.mode != "P" and self._bits() < 8
        labels = image.mode == "P" and image.format != "GIF" and image.getcolors(MOST_LABELS) is not None
        image = to_srgb(image, notes)
        mode: Literal["L", "RGB"] = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
        alpha: Pixels | None = None
        if image.has_transparency_data:
            image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
            alpha = turn(np.asarray(image.getchannel("A")))
            image = image.getchannel("R") if mode == "L" else image.convert("RGB")
        pixels, numbers = _planes(turn(np.asarray(image if image.mode == mode else image.convert(mode)))), WHOLE[8]
        if self.reading.range is not None:
            if few:
                raise ImageError(self.path, "numbers of less than 8 bits, to which a --range does not apply")
            pixels, numbers = to_pixels(pixels, 8, self.reading.range)
            alpha = None if alpha is None else at_depth(alpha, pixels.dtype)
        return replace(self._with_channels(pixels, alpha, channels, numbers, notes), labels=labels)

    def _bits(self) -> int:
        """Of a number in a file that Pillow reads."""
        assert self.image is not None
        if self.image.mode == "1":
            return 1
        stated = getattr(self.image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,))
        if self.image.format == "PNG":
            stated = first_bytes(self.path, 25)[24:]
        return min(stated) if stated else 8

    def _with_channels(
        self, colours: Pixels, alpha: Pixels | None, channels: int, numbers: Numbers, notes: list[str]
    ) -> Decoded:
        """Grey or RGB, and transparency, brought to as many channels."""
        if channels not in (1, 3, 4):
            own = colours.shape[2] + (alpha is not None)
            if own != channels:
                raise ImageError(
                    self.path, f"it has {own} {'channel' if own == 1 else 'channels'}; expected {channels}"
                )
            parts = [colours] if alpha is None else [colours, alpha[:, :, None]]
            return Decoded(np.concatenate(parts, axis=2), None, numbers, notes)
        if alpha is not None:
            colours = without_hidden(colours, alpha, self.reading.hidden, carried=channels == 4)
        if channels == 1 and colours.shape[2] == 3:
            colours = luma(colours)
            notes.append(LUMA)
        elif channels > 1 and colours.shape[2] == 1:
            colours = np.repeat(colours, 3, axis=2)
        if channels < 4:
            return Decoded(np.ascontiguousarray(colours), alpha, numbers, notes)
        layer = np.full(colours.shape[:2], _white(colours), colours.dtype) if alpha is None else alpha
        return Decoded(np.dstack([colours, layer]), None, numbers, notes)


@contextmanager
def open_file(path: Path, reading: Reading = STANDARD) -> Iterator[Opened]:
    """Read a picture's header. Raises ``ImageError`` for what is no picture on the list, or is too large."""
    image: Image.Image | None = None
    try:
        try:
            deep = deep_header(path, first_bytes(path, 32))
            if deep is not None:
                check_size(path, deep.width * deep.height, -(-deep.bands // 4), reading)
            if deep is None or deep.by_pillow:
                image = open_header(path, reading)
        except Exception as error:
            raise image_error(path, error) from None
        yield Opened(path, reading, image, deep, _stated(image, deep))
    finally:
        if image is not None:
            image.close()


def open_image(path: Path, channels: int, reading: Reading = STANDARD) -> Pixels:
    """The picture in a file, upright, as (H, W, ``channels``): uint8, uint16 or float32 (see ``values``).

    Recognised by content. Of an animation, the first frame. EXIF orientation is applied; colour profiles are not, apart
    from those of prints (CMYK). Grey becomes equal RGB and RGB becomes luma (ITU-R 601) where 1, 3 or 4 channels are
    wanted; bands without a meaning must be as many as ``channels``. Where these have no room for transparency, it is
    left out; colours under alpha 0 are as ``reading.hidden`` says. Raises ``ImageError`` for whatever cannot be decoded
    whole, ``TooLargeError`` for more than ``reading.max_pixels`` pixels.
    """
    with open_file(path, reading) as opened:
        return opened.decode(channels).pixels


def probe(path: Path, reading: Reading = STANDARD) -> tuple[int, int, str]:
    """Width and height as ``open_image`` will give them, and Pillow's mode, from the file's header alone."""
    with open_file(path, reading) as opened:
        try:
            return *opened.size, opened.mode
        except Exception as error:
            raise image_error(path, error) from None


def luma(colours: Pixels) -> Pixels:
    """RGB (H, W, 3) as grey (H, W, 1), by ITU-R 601; for 8 bits, just as Pillow rounds it."""
    if colours.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(colours)).convert("L"))[:, :, None]

    def grey(band: NDArray[Any]) -> NDArray[Any]:
        values: NDArray[Any] = (band.astype(np.float64) @ np.array(LUMA_WEIGHTS))[:, :, None]
        return values if colours.dtype.kind == "f" else np.rint(values)

    return in_bands(grey, colours, colours.dtype, channels=1)


def pixels_of(picture: Image.Image) -> Pixels:
    """uint8 (H, W, C) of a picture in Pillow's mode L, RGB or RGBA."""
    return _planes(np.asarray(picture))


def _planes(pixels: NDArray[Any]) -> NDArray[Any]:
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def _white(pixels: Pixels) -> Any:
    return pixels.dtype.type(white_of(pixels.dtype))


def _unmultiplied(values: NDArray[Any], alpha: Pixels) -> NDArray[Any]:
    """Colours (H, W, C) that were multiplied by alpha, in their file's numbers; 0 where that is 0."""
    share = alpha[:, :, None] / float(_white(alpha))
    straight = np.divide(values, share, out=np.zeros(values.shape), where=share > 0)
    if values.dtype.kind != "f":
        straight = np.minimum(np.rint(straight), np.iinfo(values.dtype).max)
    whole: NDArray[Any] = straight.astype(values.dtype)
    return whole


def is_grey(mode: str) -> bool:
    """Whether Pillow's mode has one channel of brightness, apart from transparency."""
    return mode in {"1", "L", "LA", "La", "F"} or mode.startswith("I")


def look_grey(paths: Sequence[Path], reading: Reading = STANDARD) -> bool:
    """Whether the headers of some files, evenly spread over all, all describe grey pictures, unreadable ones aside.

    Spread, as a folder may begin with its grey pictures: those of one sub-folder, or of one source.
    """
    grey = False
    count = min(len(paths), LOOKED_AT)
    for number in range(count):
        with suppress(ImageError):
            grey = is_grey(probe(paths[number * (len(paths) - 1) // max(1, count - 1)], reading)[2])
            if not grey:
                return False
    return grey


def _stated(image: Image.Image | None, deep: Deep | None) -> int:
    if deep is not None:
        return deep.orientation
    value = getattr(image, "tag_v2", {}).get(_ORIENTATION, 1)
    return value if isinstance(value, int) else 1


def _has_exif(image: Image.Image) -> bool:
    return "exif" in image.info or "Raw profile type exif" in image.info


def orientation(image: Image.Image) -> int:
    """The EXIF orientation that a picture states, 1 (upright) where it states none."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # broken metadata does not make a picture unreadable
        return 1
