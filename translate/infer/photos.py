"""Reading a photo with all that belongs to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from translate.contract import Direction
from translate.data.alpha import on_white
from translate.data.colour import pixels_to_srgb
from translate.data.decode import Decoded, Opened, open_file, open_image, probe
from translate.data.formats import ImageError, TooLargeError, image_error
from translate.data.index_maps import open_index_map
from translate.data.values import WHOLE, Numbers, Pixels
from translate.errors import GantkError, named_line
from translate.infer.inputs import Input
from translate.infer.kept import Kept, read_kept
from translate.infer.tiling import padded_side
from translate.reading import MAX_PIXELS, STANDARD, Reading

_SUBFILE_TYPE = 254


@dataclass
class Photo:
    """A decoded photo. ``pixels``: (H, W, C), upright; ``alpha``: (H, W) of the same type where it is carried past the
    network; ``numbers``: how the file stores its own; ``notes``: what the user should know; ``lossless``: a WebP whose
    pixels were stored exactly; ``bands``: whether the channels are no colours; ``others``: the pictures of the further
    inputs."""

    pixels: Pixels
    alpha: Pixels | None = None
    kept: Kept = field(default_factory=Kept)
    notes: list[str] = field(default_factory=list)
    lossless: bool = False
    numbers: Numbers = WHOLE[8]
    bands: bool = False
    others: tuple[Pixels, ...] = ()


def read_photo(
    path: Path,
    channels: int,
    *,
    reading: Reading = STANDARD,
    indexed: bool = False,
    alpha: bool = True,
    strip: bool = False,
    location: bool = True,
    scale: int = 1,
) -> Photo:
    """Decode a photo for a network that takes so many ``channels``.

    ``indexed``: the file is a class-index map, whose values are left as they are, (H, W, 1); its metadata is not read.
    ``alpha``: carry transparency along, instead of laying the photo on white. ``strip``: leave all metadata behind,
    colours converted to sRGB; ``location``: keep where it was taken.
    ``scale``: how much larger the result will be, for what metadata counts in pixels. Raises ``GantkError``.
    """
    with open_file(path, reading) as opened:
        return photo_of(opened, channels, indexed=indexed, alpha=alpha, strip=strip, location=location, scale=scale)


def photo_of(
    opened: Opened,
    channels: int,
    *,
    indexed: bool = False,
    alpha: bool = True,
    strip: bool = False,
    location: bool = True,
    scale: int = 1,
) -> Photo:
    """As ``read_photo``, of a file of which the header is read."""
    if indexed:
        return Photo(open_index_map(opened.path, channels, opened.reading))
    _refuse_thumbnail(opened)
    decoded = opened.decode(channels)
    try:
        if strip:
            kept = Kept()
            lose_profile(decoded, read_kept(opened, scale, []).icc)
        else:
            kept = read_kept(opened, scale, decoded.notes, location=location)
        lossless = opened.image is not None and opened.image.format == "WEBP" and _is_lossless(opened.path)
    except Exception as error:
        raise image_error(opened.path, error) from None
    pixels, mask = decoded.pixels, decoded.alpha
    if mask is not None and not alpha:
        pixels, mask = on_white(pixels, mask), None
    return Photo(pixels, mask, kept, decoded.notes, lossless, decoded.numbers, decoded.bands)


def read_partner(path: Path, into: Input, size: tuple[int, int]) -> Pixels:
    """The picture of a further input, of which only the pixels count; ``size``: width and height, the photo's.

    Raises ``GantkError``, which names the file, where it is no picture, or of another size.
    """
    width, height, _ = probe(path, into.reading)
    if (width, height) != size:
        raise ImageError(path, f"{width}x{height} pixels; expected {size[0]}x{size[1]}, as the photo has")
    return (
        open_index_map(path, into.channels, into.reading)
        if into.indexed
        else open_image(path, into.channels, into.reading)
    )


def lose_profile(decoded: Decoded, profile: bytes | None) -> None:
    """Make colours mean without their profile what they mean with it."""
    if profile is None or decoded.bands:
        return
    try:
        decoded.pixels = pixels_to_srgb(decoded.pixels, profile)
    except ValueError as error:
        decoded.notes.append(f"its colours cannot be converted to sRGB: {error}")


def _refuse_thumbnail(opened: Opened) -> None:
    kind = getattr(opened.image, "tag_v2", {}).get(_SUBFILE_TYPE)
    if isinstance(kind, int) and kind & 1:  # "a reduced-resolution version of another image in this file"
        raise ImageError(opened.path, "a camera's raw file, of which only a thumbnail can be read; develop it first")


def _is_lossless(path: Path) -> bool:
    """Whether a WebP's first frame is of the lossless kind; Pillow does not report it."""
    with path.open("rb") as file:
        file.seek(12)
        while len(head := file.read(8)) == 8:
            kind, size = head[:4], int.from_bytes(head[4:], "little")
            if kind in (b"VP8 ", b"VP8L"):
                return kind == b"VP8L"
            file.seek(16 if kind == b"ANMF" else size + size % 2, 1)  # a frame of an animation has its pixels inside
    return False


def weight_of(opened: Opened, direction: Direction, max_pixels: int) -> int:
    """The pixels that a photo takes up on its way, of all its inputs and of the result.

    Raises ``ImageError`` where padding makes it too large.
    """
    width, height = opened.size
    pixels = padded_side(width, direction.multiple) * padded_side(height, direction.multiple)
    # A line of a hundred million pixels is no more than one photo, but sixteen times as many when padded.
    if pixels > (most := max(max_pixels, MAX_PIXELS)):
        raise ImageError(
            opened.path,
            f"{width}x{height} is padded to {pixels:,} pixels for this model, more than {most:,}; "
            "--max-pixels raises this limit",
        )
    return pixels * (len(direction.input_names) + direction.scale**2) // 2


def reason_of(error: Exception, photo: Path, max_pixels: int) -> str:
    """Why a photo could not be done, without its name; with that of the file where it is a partner's fault."""
    if not isinstance(error, GantkError):  # whatever a model raises
        return f"the model failed ({named_line(error)})"
    if isinstance(error, ImageError) and error.path != photo:
        return str(error)
    if isinstance(error, TooLargeError):  # Pillow's limit is beyond --max-pixels, so that one is what counts
        return f"it has {error.pixels:,} pixels, more than --max-pixels {max_pixels}"
    return str(getattr(error, "reason", error))
