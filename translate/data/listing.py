"""Which files of a folder may be the user's pictures: one list of names for training and for ``gantk infer``."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from translate.console import current
from translate.errors import UsageError

JUNK_FILES = frozenset({"desktop.ini", "thumbs.db", "ehthumbs.db", "picasa.ini", "icon\r"})
"""Lower-case names of files that file managers leave in folders of pictures; left out without a word."""

JUNK_FOLDERS = frozenset(
    {
        *("@eadir", "@recycle", "#recycle", "$recycle.bin", "recycler", "lost+found", "system volume information"),
        *("__macosx", "thumbnails", "thumbs", "ipod photo cache"),
    }
)
"""Lower-case names of folders that hold thumbnails or deleted files: of network disks, cameras and systems."""

NO_PICTURES = frozenset(
    {
        *(".txt", ".caption", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".md", ".rst"),
        *(".html", ".htm", ".pdf", ".doc", ".docx", ".xls", ".xlsx", ".log", ".ini", ".db", ".py", ".ipynb"),
        *(".xmp", ".aae", ".thm", ".lrv", ".lrcat", ".exif"),
        *(".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"),
        *(".pt", ".pth", ".ckpt", ".safetensors", ".onnx", ".pkl", ".mat", ".h5"),
        *(".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".3gp", ".mpg", ".mts", ".wav", ".mp3", ".m4a"),
    }
)
"""Suffixes of what lies beside pictures: captions, labels, sidecars of cameras, archives, films."""


@dataclass(frozen=True)
class Folders:
    """The files of all the folders given as one flag.

    ``files``: in an order that depends on the names alone, folder by folder; what is reached twice is listed once.
    """

    flag: str
    roots: tuple[Path, ...]
    files: tuple[Path, ...]

    def __str__(self) -> str:
        return f"{self.flag} {', '.join(map(str, self.roots))}"

    def name(self, path: Path) -> str:
        """The path below its folder, with slashes, spelled the same by every system (NFC)."""
        root = next(root for root in self.roots if path.is_relative_to(root))
        return unicodedata.normalize("NFC", path.relative_to(root).as_posix())


def list_folders(flag: str, roots: Sequence[Path]) -> Folders:
    """Every file below ``roots`` that may be a picture; one line reports what was left out by its name.

    Raises ``UsageError`` naming ``flag`` where one of them is no folder, or has no such files.
    """
    files: list[Path] = []
    listed: set[str] = set()
    places: dict[Path, str] = {}
    left_out: Counter[str] = Counter()
    if not roots:
        raise UsageError(f"{flag}: expected a folder of images")
    for root in roots:
        try:
            mode = root.stat().st_mode
        except FileNotFoundError:
            raise UsageError(f"{flag} {root}: no such folder") from None
        except OSError as error:
            raise UsageError(f"{flag} {root}: cannot read this folder ({(error.strerror or '').lower()})") from None
        if not stat.S_ISDIR(mode):
            raise UsageError(f"{flag} {root}: this is a file; expected a folder of images")
        found = find_images(root, left_out=left_out)
        if not found:
            raise UsageError(f"{flag} {root}: no images in this folder")
        for path in found:
            # The folder's real path, but not the file's: a link beside its target is a picture of its own.
            folder = path.parent
            if folder not in places:
                places[folder] = os.path.realpath(folder)
            place = f"{places[folder]}/{path.name}"
            if place not in listed:
                listed.add(place)
                files.append(path)
    folders = Folders(flag, tuple(roots), tuple(files))
    if left_out:
        current().line(f"{folders}: {describe(left_out)}")
    return folders


def may_be_picture(name: str) -> bool:
    """Whether a file of that name is not left out by it."""
    lower = name.lower()
    return not (lower.startswith(".") or lower in JUNK_FILES or Path(lower).suffix in NO_PICTURES)


def describe(left_out: Counter[str]) -> str:
    """What was left out by its name, in words: ``left out by name: 12 files .txt, 1 folder @eaDir``."""
    parts = [
        f"{count} {'folder' if kind.endswith('/') else 'file'}{'s' if count > 1 else ''} {kind.rstrip('/')}"
        for kind, count in left_out.most_common()
    ]
    return f"left out by name: {', '.join(parts)}"


def find_images(
    folder: Path, refused: Callable[[Path, str], None] | None = None, left_out: Counter[str] | None = None
) -> list[Path]:
    """Every file below ``folder`` that may be a picture, in an order that depends on the names alone.

    Whether it is one is decided by its content later; left out by name is what surely is none (``NO_PICTURES``,
    ``JUNK_FOLDERS``), which ``left_out`` counts by suffix and by folder. Hidden files, sockets, pipes and devices are
    left out too. Links are followed, each folder is entered once. A link that leads nowhere is listed: opening it says
    so. Raises ``UsageError`` where a folder cannot be read; for one inside of ``folder``, ``refused`` is called with
    the reason where it is given.
    """
    found: list[tuple[str, Path]] = []
    entered: set[tuple[int, int]] = set()
    counts = Counter[str]() if left_out is None else left_out

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
            if entry.name.startswith(".") or entry.name.lower() in JUNK_FILES:
                continue
            try:
                is_folder = entry.is_dir()
                wanted = entry.is_file() or (entry.is_symlink() and not (place / entry.name).exists())
            except OSError:  # a link that leads to itself
                is_folder, wanted = False, True
            suffix = Path(entry.name).suffix.lower()
            if is_folder and entry.name.lower() in JUNK_FOLDERS:
                counts[f"{entry.name}/"] += 1
            elif is_folder:
                folders.append(entry.name)
            elif wanted and suffix in NO_PICTURES:
                counts[suffix] += 1
            elif wanted:
                found.append((prefix + entry.name, place / entry.name))
        for name in folders:
            walk(place / name, f"{prefix}{name}/")

    walk(Path(folder), "")
    return [path for _, path in sorted(found)]
