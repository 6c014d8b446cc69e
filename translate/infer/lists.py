"""``gantk infer --list``: the photos that a text file names, one path a line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path, PurePath

from translate.distributed import world_from_environment
from translate.errors import UsageError
from translate.infer.urls import url_of

STDIN = "-"
LONGEST = 256 << 20
"""Bytes of a list; one of a million photos has some 50 MB."""


def named_photos(listing: Path, inputs: Sequence[Path]) -> list[tuple[Path, PurePath]]:
    """The photos of a list, each with its place below the output folder.

    Relative paths begin at the one folder of ``inputs``, or else where the list lies (at the current folder for
    standard input). What lies below that folder keeps its place, what lies elsewhere goes to the top. Lines and the
    folder may be URLs. Empty lines and the line ends of any system are passed over. Raises ``UsageError`` where the
    list cannot be read or names nothing.
    """
    if len(inputs) > 1 or not all(folder.is_dir() or url_of(folder) for folder in inputs):
        raise UsageError(f"--list {listing}: expected one folder beside it at most, where relative paths begin")
    base = inputs[0] if inputs else Path() if str(listing) == STDIN else listing.parent
    names = [os.fsdecode(line) for raw in _content(listing).split(b"\n") if (line := raw.removesuffix(b"\r"))]
    if not names:
        raise UsageError(f"--list {listing}: expected paths of photos, one a line; it names none")
    if bad := next((name for name in names if "\0" in name), None):
        raise UsageError(f"--list {listing}: expected paths of photos, one a line; found {bad[:40]!r}")
    top = PurePath(os.path.abspath(base))  # noqa: PTH100 - without following links, as the names are the user's
    photos = []
    for name in names:
        path = Path(name) if url_of(Path(name)) else base / name
        place = PurePath(os.path.abspath(path))  # noqa: PTH100 - as above
        photos.append((path, place.relative_to(top) if place.is_relative_to(top) else PurePath(place.name)))
    return photos


def _content(listing: Path) -> bytes:
    if str(listing) == STDIN:
        if world_from_environment().size > 1:
            raise UsageError("--list -: several processes cannot share standard input; expected a file")
        content = sys.stdin.buffer.read(LONGEST + 1)
    else:
        try:
            with listing.open("rb") as file:
                content = file.read(LONGEST + 1)
        except OSError as error:
            raise UsageError(f"--list {listing}: cannot be read ({(error.strerror or '').lower()})") from None
    if len(content) > LONGEST:
        raise UsageError(f"--list {listing}: larger than {LONGEST >> 20} MiB; expected paths of photos, one a line")
    return content.removeprefix(b"\xef\xbb\xbf")
