"""A run's previews as WebP, few and small enough for one page."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from translate.errors import shortened
from translate.preview import KEY

BUDGET = 13 << 20
"""Bytes of pictures on one page; in base64 they are a third larger."""
MOST = 50
"""Previews of a run that a page shows; of more, each second one is left out until they are so few."""
SIDE = 8192
"""Most pixels of a side; WebP has room for 16,383."""
LOSSLESS = 1 << 16
"""Pixels up to which pictures are stored exactly: what is as small shows every artefact, and costs little."""
QUALITY = 80
SCALED = 2 / 3
"""Share of its sides that an older preview keeps where all would be too large."""
MOST_PIXELS = 80_000_000
"""Pixels of a file that is taken for a preview."""
_NAME = re.compile(r"step-(\d{1,15})\.png")


@dataclass(frozen=True)
class Picture:
    """A preview as WebP. ``width``: of the file that it was made from, in pixels, larger than its own where it was
    scaled down. ``columns``, ``header``, ``rows``: how its images stand in it, empty and 0 where the file has no such
    note."""

    step: int
    webp: bytes
    width: int
    height: int
    shown_width: int
    columns: tuple[str, ...] = ()
    header: int = 0
    rows: int = 0

    @property
    def uri(self) -> str:
        """As a data URI."""
        return data_uri(self.webp)


def data_uri(webp: bytes) -> str:
    """A WebP as the address of an image that is in the page itself."""
    return f"data:image/webp;base64,{base64.b64encode(webp).decode('ascii')}"


def encode(image: Image.Image, most: int | None = None) -> tuple[bytes, int]:
    """RGB as WebP of at most about ``most`` bytes, scaled down where it must be; its bytes and its width."""
    if (largest := max(image.size)) > SIDE:
        image = _scaled(image, SIDE / largest)
    while True:
        file = io.BytesIO()
        lossless = image.width * image.height <= LOSSLESS
        image.save(file, "WEBP", quality=QUALITY, method=2, lossless=lossless)
        if most is None or file.tell() <= most or min(image.size) < 64:
            return file.getvalue(), image.width
        image = _scaled(image, max(0.25, min(0.9, (most / file.tell()) ** 0.5)))


def of_pixels(pixels: NDArray[np.uint8], side: int) -> bytes:
    """(H, W, 3) as WebP whose longer side has at most ``side`` pixels."""
    image = Image.fromarray(pixels)
    return encode(_scaled(image, min(1.0, side / max(image.size))))[0]


def _scaled(image: Image.Image, share: float) -> Image.Image:
    if share >= 1:
        return image
    size = max(1, round(image.width * share)), max(1, round(image.height * share))
    return image.resize(size, Image.Resampling.BOX)


class Gallery:
    """The previews of one folder. Each file is encoded once, and once more where it is scaled down later on."""

    def __init__(self, folder: Path, budget: int = BUDGET) -> None:
        self.folder, self.budget = folder, budget
        # Both only grow, so that what was left out or scaled down once stays so, and nothing is encoded in vain.
        self._stride, self._scaled = 1, False
        self._known: dict[int, tuple[tuple[int, int, bool], Picture | None]] = {}

    def steps(self) -> list[int]:
        """The steps of which there is a preview, in order."""
        found = (_NAME.fullmatch(path.name) for path in self.folder.glob("step-*.png"))
        return sorted(int(match.group(1)) for match in found if match)

    def pictures(self, keep: Iterable[int] = ()) -> tuple[list[Picture], int]:
        """Those to show, in order of their steps, and how many there are in all.

        The first, the last and the one at or after each step of ``keep`` are among them in full size. The others are
        scaled down, and then left out, until all stay below the budget.
        """
        steps = self.steps()
        wanted = {steps[0], steps[-1], *(_at_or_after(steps, step) for step in keep)} if steps else set()
        while len(steps) > MOST * self._stride:
            self._stride *= 2
        while True:
            chosen = sorted({*steps[:: self._stride], *wanted}, reverse=True)
            shown, size = [], 0
            for step in chosen:
                if (picture := self._picture(step, self._scaled and step not in wanted)) is not None:
                    shown.append(picture)
                    size += len(picture.webp)
                if size > self.budget:
                    break
            if size <= self.budget or (self._scaled and self._stride >= len(steps)):
                break
            if self._scaled:
                self._stride *= 2
            self._scaled = True
        for step in self._known.keys() - set(chosen):
            del self._known[step]
        return shown[::-1], len(steps)

    def _picture(self, step: int, scaled: bool) -> Picture | None:
        path = self.folder / f"step-{step:06d}.png"
        try:
            stat = path.stat()
        except OSError:
            return None
        version = stat.st_mtime_ns, stat.st_size, scaled
        if step not in self._known or self._known[step][0] != version:
            share = SCALED if scaled else 1.0
            self._known[step] = version, read_preview(path, step, self.budget // 4, share)
        return self._known[step][1]


def _at_or_after(steps: Sequence[int], step: int) -> int:
    return next((each for each in steps if each >= step), steps[-1])


def read_preview(path: Path, step: int, most: int, share: float = 1.0) -> Picture | None:
    """A preview as WebP of at most about ``most`` bytes, scaled by ``share``; None where it cannot be read."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            if image.width * image.height > MOST_PIXELS:
                return None
            about = _about(getattr(image, "text", {}).get(KEY, ""))
            rgb = image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    webp, width = encode(_scaled(rgb, share), most)
    return Picture(step, webp, rgb.width, rgb.height, width, *about)


def _about(text: str) -> tuple[tuple[str, ...], int, int]:
    """Columns, header and rows by a preview's note; nothing where it has none that can be read."""
    try:
        note = json.loads(text)
        columns = tuple(shortened(name, 40) for name in note["columns"])
        return columns, max(0, int(note["header"])), max(0, int(note["rows"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return (), 0, 0
