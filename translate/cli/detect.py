"""``gantk detect``: whether pictures carry the invisible mark of a key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Gt, Lt

from translate.cli import derived
from translate.console import current
from translate.data.decode import open_file
from translate.data.formats import ImageError, pixel_limit
from translate.data.listing import find_images
from translate.data.values import white_of
from translate.errors import SomeFailedError, UsageError
from translate.fields import Spelling
from translate.reading import MAX_PIXELS
from translate.watermark import LEVEL, Detection, Watermark, brightness, colours_of, read_key


@dataclass(frozen=True, kw_only=True)
class Options:
    """Say whether pictures carry the invisible mark of a key, as --watermark of gantk infer adds it.

    A p-value bounds the probability that a picture without this key's mark scores as high. The mark is found after
    JPEG, after cutting, and at half, two thirds, three quarters, one and a half times and twice its size; not in
    pictures that are turned or stretched. Exit code 3: some files cannot be read.
    """

    inputs: Annotated[tuple[Path, ...], "pictures, or their folders", Spelling(positional=True, metavar="INPUT")]
    key: Annotated[str, "the key that was given to --watermark, or @FILE that holds it"]
    level: Annotated[float, "p-value below which a picture counts as marked", Gt(0), Lt(1)] = LEVEL


def detect(options: Options) -> None:
    """One row for each picture."""
    watermark = Watermark(read_key("--key", options.key))
    console = current()
    paths = _pictures(options.inputs)
    unread: list[str] = []
    rows: list[dict[str, str]] = []
    found = 0
    with pixel_limit(MAX_PIXELS):
        for path in paths:
            try:
                detection = _look(path, watermark)
            except ImageError as error:
                unread.append(str(error))
                continue
            marked = detection.p_value < options.level
            found += marked
            size = f"{detection.size:.3g}" if marked else ""
            console.record({"file": str(path), "p_value": detection.p_value, "marked": marked, "size": size or None})
            word = "yes" if marked else "no"
            rows.append({"file": str(path), "p-value": f"{detection.p_value:.2g}", "marked": word, "size": size})
    if not console.json:
        console.table(rows)
    console.line(f"{found} of {len(rows)} pictures carry this key's mark")
    if unread:
        raise SomeFailedError("; ".join(unread))


def _pictures(inputs: tuple[Path, ...]) -> list[Path]:
    paths: list[Path] = []
    for path in inputs:
        if path.is_dir():
            paths += find_images(path)
        elif path.is_file():
            paths.append(path)
        else:
            raise UsageError(f"{path}: no such file or folder")
    if not paths:
        raise UsageError(f"{', '.join(map(str, inputs))}: no pictures")
    return paths


def _look(path: Path, watermark: Watermark) -> Detection:
    with open_file(path) as opened:
        pixels = opened.decode(3).pixels
    return watermark.detect(brightness(colours_of(pixels, white_of(pixels.dtype))))


command = derived.command("detect", Options, detect)
