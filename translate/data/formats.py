"""Opening a picture file: by its content, by one of the readers on the list, and with a reason where it is refused."""

from __future__ import annotations

import importlib
import os
import re
import stat
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from translate.data import archives
from translate.data.values import RefusedError
from translate.errors import GantkError, one_line
from translate.reading import MORE_FORMATS, STANDARD, Reading


class ImageError(GantkError):
    """A file that cannot be read as a picture; ``path`` and ``reason`` name which and why."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = Path(path)
        self.reason = reason


class TooLargeError(ImageError):
    """A picture of more pixels than the limit; ``pixels``: how many."""

    def __init__(self, path: Path | str, pixels: int, most: int) -> None:
        super().__init__(path, f"it has {pixels:,} pixels, more than the limit of {most:,} (--max-pixels)")
        self.pixels = pixels


@contextmanager
def pixel_limit(most: int) -> Iterator[None]:
    """Let Pillow open pictures of so many pixels; its own limit, of the whole process, is lower."""
    before = Image.MAX_IMAGE_PIXELS
    if before is not None and most > 2 * before:
        Image.MAX_IMAGE_PIXELS = most
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def open_header(path: Path, reading: Reading = STANDARD) -> Image.Image:
    """Pillow's image of a file, of which only the header is read yet; to be closed by the caller.

    Raises ``ImageError`` for what is no regular file, ``TooLargeError`` for more than ``reading.max_pixels`` pixels,
    and whatever Pillow raises for the rest, which ``image_error`` turns into one of them.
    """
    _register_heif()
    quieten_pillow()
    image = Image.open(archives.readable(path), formats=_readers(reading.formats))
    try:
        check_size(path, image.width * image.height, 1, reading)
    except TooLargeError:
        image.close()
        raise
    return image


def first_bytes(path: Path, count: int) -> bytes:
    """The first bytes of a regular file; ``ImageError`` for anything else, which might never end."""
    # os.stat is twice as fast as Path.stat, once per image.
    if archives.find(path) is None and not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
        raise ImageError(path, "not a regular file")
    with archives.open_binary(path) as file:
        return file.read(count)


def check_size(path: Path, pixels: int, weight: int, reading: Reading) -> None:
    """Raise ``TooLargeError`` for more pixels than ``reading`` allows, each of which counts ``weight`` times.

    Raises ``ImageError`` for a picture without any.
    """
    if not pixels:
        raise ImageError(path, "it has no pixels")
    if pixels * weight > reading.max_pixels:
        raise TooLargeError(path, pixels * weight, reading.max_pixels)


def check_png(path: Path, image: Image.Image) -> None:
    """Raise ``ImageError`` where a checksum of a PNG is wrong that its pixels depend on; Pillow looks at few."""
    if image.format != "PNG":
        return
    with archives.open_binary(path) as file:
        file.seek(8)
        while len(start := file.read(8)) == 8:
            length, kind = int.from_bytes(start[:4], "big"), start[4:]
            if not (kind[:1].isupper() or kind == b"tRNS"):  # what merely says something
                file.seek(length + 4, 1)
                continue
            check = zlib.crc32(kind)
            while length and (part := file.read(min(length, 1 << 20))):
                check, length = zlib.crc32(part, check), length - len(part)
            if (stored := file.read(4)) != check.to_bytes(4, "big"):
                reason = "is cut off" if length or len(stored) < 4 else "has a wrong checksum"
                raise ImageError(path, f"a damaged PNG: its part {kind.decode('latin-1')!r} {reason}")
            if kind == b"IEND":
                return


@cache
def _readers(formats: tuple[str, ...]) -> list[str]:
    """The formats of which this Pillow has a reader."""
    Image.init()
    return [name for name in formats if name in Image.OPEN]


def quieten_pillow() -> None:
    """Turn off what Pillow warns of: broken metadata, large images, palettes. What matters of it is an ``ImageError``.

    To be called before each part of the work on a file: ``catch_warnings``, which is not safe between threads, may have
    put back older filters meanwhile in another one.
    """
    if not any(action == "ignore" and kind is _PillowNoise for action, _, kind, _, _ in warnings.filters):
        warnings.filterwarnings("ignore", category=_PillowNoise)
        warnings.filterwarnings("ignore", module=r"PIL\.")


class _PillowNoise(Warning):
    """Never raised: its filter marks that Pillow's warnings are off."""


@cache
def _register_heif() -> None:
    try:
        register = getattr(importlib.import_module("pillow_heif"), "register_heif_opener", None)
    except ImportError:
        return
    if register is not None:
        register()


def image_error(path: Path, error: Exception) -> ImageError:
    """What was raised while a picture was decoded, as an ``ImageError`` with a reason for people."""
    if isinstance(error, ImageError):
        return error
    if isinstance(error, Image.DecompressionBombError):
        # Pillow's own limit, met before the size can be asked for: its message is where the numbers are.
        numbers = [int(number) for number in re.findall(r"(\d+) pixels", str(error))]
        if len(numbers) == 2:
            return TooLargeError(path, *numbers)
    if isinstance(error, UnidentifiedImageError):
        return ImageError(path, _what_it_is(path))
    if isinstance(error, MemoryError):
        return ImageError(path, "not enough memory to decode it")
    return ImageError(path, _plain(error))


def _what_it_is(path: Path) -> str:
    try:
        with archives.open_binary(path) as file:
            head = file.read(16)
    except OSError as error:
        return _plain(error)
    if not head:
        return "the file is empty"
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1"):
        return "a HEIF image; install gantk[heif] to read it"
    if head.startswith((b"%!PS", b"\xc5\xd0\xd3\xc6")):
        return "an EPS file, which only a program could draw; convert it to PNG first"
    if head.startswith(b"\x89PNG"):
        return "a damaged PNG"
    for name in MORE_FORMATS:
        accepts = Image.OPEN[name][1] if name in Image.OPEN else None
        if accepts is not None and accepts(head) is True:
            return f"a {name} image; --allow-format {name} opens it"
    return "not an image, or a damaged one"


def _plain(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    # Decoders raise these in words; what else a damaged file makes them raise has words of Python, if any.
    return one_line(error) if isinstance(error, (RefusedError, OSError, SyntaxError)) else "a damaged image"
