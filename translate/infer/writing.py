"""Writes a result as a file, with all that its photo brought along."""

from __future__ import annotations

from typing import BinaryIO

from translate.infer.encode import unfit, write_photo
from translate.infer.marked import mark_of, marked
from translate.infer.options import InferOptions
from translate.infer.photos import Photo
from translate.infer.plan import Job
from translate.infer.result import Result
from translate.infer.runner import Network
from translate.manifest import Signer
from translate.provenance import COMPOSITE


class Writer:
    """Writes the results of a network, as the options have it."""

    def __init__(self, network: Network, options: InferOptions) -> None:
        self.network, self.options = network, options
        self.watermark = mark_of(options, network.levels)
        self.signer = None if options.sign is None else Signer("--sign", options.sign)

    def unfit(self, job: Job, photo: Photo, result: Result) -> str | None:
        """Why the job's format cannot hold the result."""
        height, width, channels = result.canvas.shape
        return unfit(
            job.format,
            height,
            width,
            alpha=photo.alpha is not None or channels == 4,
            indexed=self.network.levels.index_out,
            explicit=self.options.format != "keep",
            channels=channels,
            bands=_bands(photo, result),
            numbers=self.network.levels.numbers(photo.numbers),
        )

    def write(self, file: BinaryIO, format_: str, job: Job, photo: Photo, result: Result) -> list[str]:
        """Write the result in a format that holds it; what the user should know."""
        canvas, notes = marked(result.canvas, self.watermark)
        notes += write_photo(
            file,
            format_,
            canvas,
            photo.alpha,
            photo.kept,
            quality=self.options.quality,
            lossless=photo.lossless and self.options.format == "keep",
            indexed=self.network.levels.index_out,
            numbers=self.network.levels.numbers(photo.numbers),
            bands=_bands(photo, result),
            source=COMPOSITE if self.options.provenance else None,
        )
        if self.signer is not None and not self.signer.sign(file, format_, self.network.direction.name, job.path):
            notes.append(f"{format_.lower()} has no room for a C2PA manifest, so it is not signed")
        return notes


def _bands(photo: Photo, result: Result) -> bool:
    return photo.bands and result.canvas.shape[2] == photo.pixels.shape[2]
