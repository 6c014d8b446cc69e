"""The flags of ``gantk infer``. Imports nothing heavy, so that ``--help`` stays quick."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge

from translate.errors import UsageError
from translate.fields import Spelling
from translate.infer.urls import url_of
from translate.reading import Percentiles, Reading, formats_with, parse_range
from translate.settings import Precision

FORMATS = {
    "keep": "",
    "png": ".png",
    "jpg": ".jpg",
    "jpeg": ".jpg",
    "webp": ".webp",
    "tiff": ".tiff",
    "tif": ".tiff",
    "npy": ".npy",
}
"""Names that ``--format`` takes, and the suffix that each writes."""

WITH_QUALITY = ("jpg", "jpeg", "webp")


def check_inputs(inputs: Sequence[Path]) -> None:
    """Raise ``UsageError`` for a photo or a folder of this machine that does not exist."""
    for given in inputs:
        if url_of(given) is None and not os.path.lexists(given):
            raise UsageError(f"{given}: no such file or folder")


@dataclass(frozen=True, kw_only=True)
class InferOptions:
    """How to apply a trained model to photos, and what the results keep of them."""

    direction: Annotated[str | None, "which way to translate, such as b2a; default: the model's first"] = None
    settings: Annotated[
        tuple[str, ...],
        "what the model is to make of the photos, such as domain=winter; gantk inspect lists the conditions",
        Spelling(flag="--set", metavar="NAME=VALUE"),
    ] = ()
    also: Annotated[
        tuple[str, ...],
        "folder of the model's further inputs, such as instances=inst/, with files named as the photos are",
        Spelling(metavar="NAME=FOLDER"),
    ] = ()
    sample: Annotated[bool, "keep the noise that the model was trained with, such as dropout"] = False
    format: Annotated[str, "keep, png, jpg[:quality], webp[:quality], tiff or npy"] = "keep"
    bits: Annotated[Literal[8, 16, 32] | None, "bit depth of the results, 32 as floats; default: each photo's own"] = (
        None
    )
    range: Annotated[
        str | None, "numbers in the photos that are black and white, such as 0..4095; default: the model's"
    ] = None
    suffix: Annotated[str, "appended to each output's file name, such as _zebra"] = ""
    overwrite: Annotated[bool, "redo outputs that exist instead of skipping them"] = False
    strip: Annotated[bool, "leave out EXIF, profile (colours become sRGB), XMP and resolution"] = False
    strip_location: Annotated[bool, "leave out where the photos were taken, and keep the rest"] = False
    provenance: Annotated[bool, "say in the output's XMP that a model made it (IPTC DigitalSourceType)"] = True
    sign: Annotated[
        Path | None,
        "sign the results as C2PA, with the private key and certificates of this PEM file",
        Spelling(metavar="FILE"),
    ] = None
    watermark: Annotated[
        str | None,
        "add an invisible mark of this key, or of the one in @FILE, that gantk detect finds",
        Spelling(metavar="KEY"),
    ] = None
    alpha: Annotated[Literal["keep", "drop"], "whether a photo's transparency is carried over"] = "keep"
    wrap: Annotated[bool, "photos are textures that repeat: what leaves on the right comes in on the left"] = False
    tile: Annotated[str, "auto (tiles where memory is short), off, or the side of a tile in pixels"] = "auto"
    max_pixels: Annotated[
        int, "photos with more pixels than this fail, or are read window by window where they are TIFF", Ge(1)
    ] = 178_956_970
    allow_format: Annotated[tuple[str, ...], "open photos of these formats too, such as PSD or FITS"] = ()
    batch: Annotated[int | None, "photos of equal size run together; default: 1 on a CPU, 8 on a GPU", Ge(1)] = None
    device: Annotated[str, "auto, cpu, cuda, cuda:N or mps"] = "auto"
    precision: Annotated[
        Precision,
        "number format of the forward pass; auto is fp32 (on CUDA with convolutions in TF32, as torch has them)",
    ] = "auto"
    workers: Annotated[int | None, "threads that decode, and as many that encode; default: by device", Ge(1)] = None
    seed: Annotated[int, "seed of what --sample draws", Ge(0)] = 0

    listing: Annotated[
        Path | None,
        "text file of photos, a path a line, - for standard input; relative to INPUT or else to the file's folder",
        Spelling(flag="--list", metavar="FILE"),
    ] = None
    shard: Annotated[str | None, "do one part of the photos, such as 2/8, and leave the others to other processes"] = (
        None
    )
    engine: Annotated[
        Literal["local", "ray"], "who does the photos: this process, or the workers of a Ray cluster (gantk[ray])"
    ] = "local"
    address: Annotated[
        str | None,
        "with --engine ray: the cluster to use; default: one that is started on this machine for this run",
        Spelling(metavar="auto|HOST:PORT"),
    ] = None
    nproc: Annotated[
        int | None,
        "with --engine ray: workers, each with the model; default: one for each GPU, without GPUs one for 4 cores",
        Ge(1),
    ] = None

    def __post_init__(self) -> None:
        self._check_engine()
        if self.shard is not None and not (
            (parts := re.fullmatch(r"([1-9][0-9]{0,6})/([1-9][0-9]{0,6})", self.shard, re.ASCII))
            and int(parts[1]) <= int(parts[2])
        ):
            raise UsageError(f"--shard {self.shard!r}: expected I/N with I from 1 to N, such as 2/8")
        formats_with(self.allow_format)
        self._range()
        name, _, quality = self.format.partition(":")
        if name not in FORMATS or (quality and name not in WITH_QUALITY) or self.format.endswith(":"):
            raise UsageError(f"--format {self.format!r}: expected keep, png, jpg[:1-100], webp[:1-100], tiff or npy")
        if quality and not (quality.isascii() and quality.isdigit() and 1 <= int(quality) <= 100):
            raise UsageError(f"--format {self.format!r}: the quality is a whole number from 1 to 100")
        if self.tile not in ("auto", "off") and not (
            self.tile.isascii() and self.tile.isdigit() and 16 <= int(self.tile) <= 1 << 20
        ):
            raise UsageError(f"--tile {self.tile!r}: expected auto, off or a side of at least 16 pixels")
        if self.wrap and self.tile == "off":
            raise UsageError(
                "--wrap --tile off: a picture that repeats is translated in tiles; expected another --tile"
            )
        if any(letter in self.suffix for letter in "/\\\0") or any(ord(letter) < 32 for letter in self.suffix):
            raise UsageError("--suffix: expected a piece of a file name, without slashes or control characters")

    def _check_engine(self) -> None:
        for flag, value in (("--address", self.address), ("--nproc", self.nproc)):
            if value is not None and self.engine != "ray":
                raise UsageError(f"{flag} {value}: expected --engine ray with it")
        if self.address not in (None, "auto") and not re.fullmatch(r"[^\s/:]+:[0-9]{1,5}", str(self.address)):
            raise UsageError(f"--address {self.address}: expected auto or HOST:PORT, such as 10.0.0.1:6379")
        if self.engine == "ray" and self.device not in ("auto", "cpu", "cuda"):
            raise UsageError(f"--device {self.device}: expected auto, cpu or cuda with --engine ray")

    @property
    def reading(self) -> Reading:
        """How photos are opened."""
        return Reading(formats_with(self.allow_format), self.max_pixels, self._range())

    def _range(self) -> tuple[float, float] | None:
        range_ = None if self.range is None else parse_range(self.range)
        if isinstance(range_, Percentiles):
            raise UsageError(f"--range {self.range}: percentages are for gantk train; expected two numbers")
        return range_

    @property
    def share(self) -> slice:
        """Which of all photos are this process's."""
        number, _, count = (self.shard or "1/1").partition("/")
        return slice(int(number) - 1, None, int(count))

    @property
    def target_suffix(self) -> str:
        """The suffix of every output; empty where each photo keeps its own."""
        return FORMATS[self.format.partition(":")[0]]

    @property
    def quality(self) -> int:
        """JPEG or WebP quality."""
        return int(self.format.partition(":")[2] or 95)

    @property
    def tile_side(self) -> int | None:
        """The side that the user named; None where it is chosen or tiles are off."""
        return int(self.tile) if self.tile.isdigit() else None
