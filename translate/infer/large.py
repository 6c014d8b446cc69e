"""Photos that are translated from file to file: windows are read as tiles need them, and tiles are written at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from translate import __version__
from translate.data.decode import Opened
from translate.data.formats import ImageError, first_bytes, image_error
from translate.errors import GantkError, named_line, one_line
from translate.infer import memory
from translate.infer.claims import Claim
from translate.infer.encode import left_out, tiff_tags
from translate.infer.journal import Journal
from translate.infer.kept import Kept, read_kept
from translate.infer.options import InferOptions
from translate.infer.outputs import FULL
from translate.infer.plan import Job
from translate.infer.runner import Network
from translate.infer.tags import GEO, RESOLUTION
from translate.infer.tiff_reader import TIFF, TiffReader
from translate.infer.tiff_writer import TiffWriter
from translate.infer.unfinished import StoppedError, Unfinished, Written
from translate.infer.views import View, WindowedPicture, header_of
from translate.infer.windows import Form, Format, Reader, Tags, Writer, format_of
from translate.provenance import COMPOSITE

TIMES = 4
"""Bytes that a photo takes which is read at once, by the bytes of its numbers."""

STRIPPED = (270, *RESOLUTION, 296)
"""Tags of a package, beside those of the place, that ``--strip`` leaves out: words and resolution."""

_WITHOUT_EFFECT = ("overwrite", "workers", "listing", "shard", "engine", "address", "nproc", "batch", "max_pixels")
"""Options on which the pixels of a result do not depend."""


class LargePhotos:
    """Finds the photos that a network is to have window by window, and translates them."""

    def __init__(self, network: Network, options: InferOptions) -> None:
        self._network = network
        self._options = options
        # Several inputs, indices and frames are read whole.
        self._possible = not network.direction.sequence and len(network.inputs) == 1 and not network.inputs[0].indexed
        self._digest = ""

    def takes(self, job: Job) -> bool:
        """Whether a photo is one of these. Raises ``ImageError`` where it is, but cannot be read or written so."""
        if not self._possible:
            return False
        try:
            head = first_bytes(job.path, 4)
        except (OSError, ImageError):
            return False  # the reason is found where it is opened
        if (format_ := format_of(job.path)) is not None:
            _opened(job.path, format_).close()
        elif head not in TIFF or not self._is_large(job.path):
            return False
        if job.format != "TIFF":
            name = job.format.lower()
            raise ImageError(
                job.path, f"read window by window, so it cannot be written as {name}; expected --format tiff"
            )
        for flag, value in (("--watermark", self._options.watermark), ("--sign", self._options.sign)):
            if value is not None:
                raise ImageError(job.path, f"read window by window, but {flag} needs the whole result at once")
        return True

    def concerns(self, job: Job) -> bool:
        """Whether it ``takes`` a photo, or raises."""
        try:
            return self.takes(job)
        except GantkError:
            return True

    def _is_large(self, path: Path) -> bool:
        """Whether a TIFF is too large to be read at once. Raises ``ImageError`` where its windows cannot be read."""
        try:
            reader = TiffReader(path)
        except Exception:  # it may be readable at once; if not, the reason is found there
            return False
        reader.close()
        form = reader.form
        room = memory.usable_memory(torch.device("cpu"), tile=False)
        if form.width * form.height <= self._options.max_pixels and TIMES * form.nbytes <= room:
            return False
        if reader.refusal is not None:
            raise ImageError(path, reader.refusal)
        return True

    def translate(self, job: Job, seed: int, claim: Claim, stopped: Callable[[], bool]) -> dict[str, Any]:
        """Translate a photo that it ``takes`` into its target; what its record says of it.

        Raises `StoppedError`, and whatever keeps this photo from being done. What is unfinished stays where it can be
        continued.
        """
        format_ = format_of(job.path)
        with closing(_opened(job.path, format_)) as reader:
            photo = _Photo(self._network, self._options, job, reader, format_)
            journal = Journal(job.target, self._described(job, seed))
            writer = partial(photo.writer, journal.partial)
            place = Unfinished(job, journal, photo.written, writer, claim, stopped)
            try:
                course = self._network.translate_windows(WindowedPicture.of(photo.view), place, seed)
                place.finish(overwrite=self._options.overwrite)
            except BaseException as error:
                full = isinstance(error, OSError) and error.errno in FULL
                place.leave(keep=full or not isinstance(error, Exception) or isinstance(error, StoppedError))
                if full:
                    raise GantkError(
                        f"the disk is full: its result takes {place.nbytes:,} bytes; what is done of it is kept, and "
                        "the same command continues it"
                    ) from None
                if isinstance(error, OSError):
                    raise GantkError(f"cannot write {job.target.name}: {error.strerror or one_line(error)}") from error
                raise
        form, scale = reader.form, self._network.direction.scale
        return {
            "output": job.target,
            "notes": [*photo.notes, *photo.view.notes, *course.notes],
            "size": [form.width, form.height],
            "result_size": [form.width * scale, form.height * scale],
            "tiles": course.done,
            "passes": course.passes,
        }

    def _described(self, job: Job, seed: int) -> str:
        """Changes with whatever the result depends on."""
        network = self._network
        if not self._digest:
            self._digest = _digest(network.nets)
        status = job.path.stat()
        options = {name: str(value) for name, value in asdict(self._options).items() if name not in _WITHOUT_EFFECT}
        where = (network.device.type, network.precision, network.direction.name, __version__, torch.__version__)
        photo = (str(job.path.resolve()), status.st_size, status.st_mtime_ns)
        text = json.dumps([photo, self._digest, where, options, seed], sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


class _Photo:
    """One photo, open. ``view``: its pixels as the network takes them. ``notes``: what the user should know."""

    def __init__(
        self, network: Network, options: InferOptions, job: Job, reader: Reader, format_: Format | None
    ) -> None:
        self.notes: list[str] = []
        self._network = network
        self._options = options
        self._reader = reader
        self._format = format_
        header = header_of(reader.form, lambda: reader.read(0, 0, 1, 1))
        opened = Opened(job.path, network.inputs[0].reading, None, header)
        try:
            notes, scale = [] if options.strip else self.notes, network.direction.scale
            kept = read_kept(opened, scale, notes, location=not options.strip_location)
        except Exception as error:
            raise image_error(job.path, error) from None
        self._kept = Kept() if options.strip else kept
        self.view = View(
            job.path,
            reader,
            network.inputs[0],
            carried=options.alpha == "keep",
            profile=kept.icc if options.strip else None,
            reach=None if network.pools else network.direction.margin,
        )

    def written(self, shape: tuple[int, int, int], kind: np.dtype[Any]) -> Written:
        """What turns the tiles of a result of this shape and type into numbers."""
        return Written(self.view, self._network.levels, self._network.direction.scale, shape, kind)

    def writer(self, path: Path, form: Form, *, resumed: bool) -> Writer:
        """What writes the result to ``path``: what the package that reads the photo chooses, or else our own."""
        tiff = partial(self._tiff, path, resumed=resumed)
        if self._format is None:
            return tiff(form, {})
        scale = self._network.direction.scale
        try:
            return self._format.writer(path, form, self._reader, scale=scale, resumed=resumed, tiff=tiff)
        except (GantkError, OSError):
            raise
        except Exception as error:
            raise GantkError(f"its result cannot be written: {named_line(error)}") from error

    def _tiff(self, path: Path, form: Form, more: Tags, *, resumed: bool) -> Writer:
        """A tiled BigTIFF with what the photo's result keeps, and ``more`` tags."""
        source = COMPOSITE if self._options.provenance else None
        indexed = self._network.levels.index_out
        tags = tiff_tags(self._kept, form.channels - form.alpha, source, self.notes, indexed=indexed)
        unwanted = (*STRIPPED, *GEO) if self._options.strip else GEO if self._options.strip_location else ()
        more = {tag: value for tag, value in more.items() if tag not in unwanted}
        tiff = TiffWriter(path, form, {**tags, **more}, resumed=resumed)
        self.notes += left_out(tiff.refused)
        return tiff


def _opened(path: Path, format_: Format | None) -> Reader:
    try:
        return TiffReader(path) if format_ is None else format_.reader(path)
    except GantkError:
        raise
    except Exception as error:
        reason = one_line(error) if isinstance(error, (ValueError, OSError)) else named_line(error)
        raise ImageError(path, reason) from error


def _digest(nets: nn.Module) -> str:
    """Of the names and values of all weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(nets.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
