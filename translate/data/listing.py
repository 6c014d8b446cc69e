"""Which files of a folder may be the user's pictures."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from translate.errors import UsageError

NO_IMAGES = frozenset({"desktop.ini", "thumbs.db", "ehthumbs.db", "picasa.ini", "icon\r", "__macosx"}) | {
    *("system volume information", "$recycle.bin", "lost+found")
}
"""Lower-case names of what file managers leave in folders of pictures, and systems on disks and memory cards."""


def find_images(folder: Path, refused: Callable[[Path, str], None] | None = None) -> list[Path]:
    """Every candidate file below ``folder``, in an order that depends on the names alone.

    Whether a file is a picture is decided by its content later, so all regular files count, whatever their suffix.
    Left out are hidden ones, what file managers leave behind (``NO_IMAGES``), sockets, pipes and devices. Links are
    followed, each folder is entered once. A link that leads nowhere is listed: opening it says so. Raises
    ``UsageError`` where a folder cannot be read; for one inside of ``folder``, ``refused`` is called with the reason
    where it is given.
    """
    found: list[tuple[str, Path]] = []
    entered: set[tuple[int, int]] = set()

    def walk(place: Path, prefix: str) -> None:
        try:
            here = place.stat()
            if (here.st_dev, here.st_ino) in entered:
                return
            entered.add((here.st_dev, here.st_ino))
            with os.scandir(place) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            reason = f"cannot read this folder ({(error.strerror or str(error)).lower()})"
            if refused is None or not prefix:
                raise UsageError(f"{place}: {reason}") from None
            refused(place, reason)
            return
        folders = []
        for entry in inside:
            if entry.name.startswith(".") or entry.name.lower() in NO_IMAGES:
                continue
            try:
                if entry.is_dir():
                    folders.append(entry.name)
                    continue
                wanted = entry.is_file() or (entry.is_symlink() and not (place / entry.name).exists())
            except OSError:  # a link that leads to itself
                wanted = True
            if wanted:
                found.append((prefix + entry.name, place / entry.name))
        for name in folders:
            walk(place / name, f"{prefix}{name}/")

    walk(Path(folder), "")
    return [path for _, path in sorted(found)]


def images_in(flag: str, folder: Path) -> list[Path]:
    """``find_images`` for a folder given as ``flag``; ``UsageError`` where it is no folder or has no files in it."""
    folder = Path(folder)
    if not folder.exists():
        raise UsageError(f"{flag} {folder}: no such folder")
    if not folder.is_dir():
        raise UsageError(f"{flag} {folder}: this is a file; expected a folder of images")
    paths = find_images(folder)
    if not paths:
        raise UsageError(f"{flag} {folder}: no images in this folder")
    return paths
