"""Which files of a folder may be the user's pictures: one list of names for training and for ``gantk infer``."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from translate.console import current
from translate.data import archives
from translate.errors import UsageError
from translate.places import HUB, expanded

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
        *(".zip", ".tar", ".gz", ".tgz", ".zst", ".7z", ".rar"),
        *(".pt", ".pth", ".ckpt", ".safetensors", ".onnx", ".pkl", ".mat", ".h5", ".npz", ".cls"),
        *(".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".3gp", ".mpg", ".mts", ".wav", ".mp3", ".m4a"),
    }
)
"""Suffixes of what lies beside pictures: captions, labels, sidecars of cameras, archives, films."""


@dataclass(frozen=True)
class Folders:
    """The files of all the folders and archives given as one flag.

    ``roots``: as they were given, patterns among them. ``files``: in an order that depends on the names alone, folder
    by folder; what is reached twice is listed once. ``places``: each folder or archive, and which root named it.
    """

    flag: str
    roots: tuple[Path, ...]
    files: tuple[Path, ...]
    places: Mapping[Path, Path] = field(hash=False)

    def __str__(self) -> str:
        return f"{self.flag} {', '.join(map(str, self.roots))}"

    def place_of(self, path: Path) -> Path:
        """The folder or archive that a file was found in; of several, one inside another, that which comes first."""
        return min((parent for parent in path.parents if parent in self.places), key=self._order.__getitem__)

    def name(self, path: Path) -> str:
        """The path below its folder, with slashes, spelled the same by every system (NFC)."""
        return unicodedata.normalize("NFC", path.relative_to(self.place_of(path)).as_posix())

    @cached_property
    def _order(self) -> Mapping[Path, int]:
        return {place: number for number, place in enumerate(self.places)}


def list_folders(flag: str, roots: Sequence[Path]) -> Folders:
    """Every file below ``roots`` that may be a picture; lines report what was left out by its name.

    A root is a folder, a tar archive, a pattern that names several (see ``translate.places.expanded``), or a data set
    of the hub. Raises ``UsageError`` where one of them is none of these, has no such files, or is damaged.
    """
    files: list[Path] = []
    listed: set[str] = set()
    real: dict[Path, str] = {}
    left_out, odd = Counter[str](), Counter[str]()
    if not roots:
        raise UsageError(f"{flag}: expected a folder of images")
    places: dict[Path, Path] = {}
    for root in roots:
        for place in expanded(flag, root):
            places.setdefault(place, root)
    for place in places:
        if (member := archives.find(place)) is None:
            _check_folder(flag, place)
        else:
            odd += member.archive.left_out
        found = find_images(place, left_out=left_out)
        if not found:
            raise UsageError(_nothing(flag, place, left_out))
        for path in found:
            # The folder's real path, but not the file's: a link beside its target is a picture of its own.
            folder = path.parent
            if folder not in real:
                real[folder] = os.path.realpath(folder)
            name = f"{real[folder]}/{path.name}"
            if name not in listed:
                listed.add(name)
                files.append(path)
    folders = Folders(flag, tuple(roots), tuple(files), places)
    if left_out:
        current().line(f"{folders}: {describe(left_out)}")
    if odd:
        counted = ", ".join(f"{kind} ({count})" for kind, count in odd.most_common())
        current().line(f"{folders}: left out of the archives: {counted}")
    return folders


def _check_folder(flag: str, root: Path) -> None:
    """Raise ``UsageError`` for what is no folder, or cannot be entered."""
    try:
        mode = root.stat().st_mode
    except FileNotFoundError:
        expected = f"; expected {HUB}NAME:SPLIT" if str(root).startswith(HUB) else ""
        raise UsageError(f"{flag} {root}: no such folder{expected}") from None
    except OSError as error:
        raise UsageError(f"{flag} {root}: cannot read this folder ({(error.strerror or '').lower()})") from None
    if not stat.S_ISDIR(mode):
        packed = root.suffix.lower() in (".gz", ".tgz", ".zst", ".zip", ".7z", ".rar")
        expected = "an archive that is not compressed, as .tar" if packed else "a folder of images, or a .tar of them"
        raise UsageError(f"{flag} {root}: this is a file; expected {expected}")


def _nothing(flag: str, place: Path, left_out: Counter[str]) -> str:
    """Why there is nothing to read in a folder or archive."""
    hint = f"; for those in its archives, {flag} '{place / '*.tar'}'" if left_out[archives.SUFFIX] else ""
    return f"{flag} {place}: no images in this folder{hint}"


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
    so. ``folder`` may be an archive too, or a folder in one. Raises ``UsageError`` where a folder cannot be read; for
    one inside of ``folder``, ``refused`` is called with the reason where it is given.
    """
    found: list[tuple[str, Path]] = []
    entered: set[tuple[int, int]] = set()
    counts = Counter[str]() if left_out is None else left_out
    if (member := archives.find(folder)) is not None:
        return [folder / name for name in _images_of(member, counts)]

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


def _images_of(place: archives.Member, counts: Counter[str]) -> list[str]:
    """The same of an archive: names below ``place``."""
    found: list[str] = []
    junk: set[str] = set()
    for name in place.files():
        *folders, last = name.split("/")
        if any(part.startswith(".") for part in (*folders, last)) or last.lower() in JUNK_FILES:
            continue
        suffix = Path(last).suffix.lower()
        if inside := next((number for number, part in enumerate(folders, 1) if part.lower() in JUNK_FOLDERS), 0):
            junk.add("/".join(folders[:inside]))
        elif suffix in NO_PICTURES:
            counts[suffix] += 1
        else:
            found.append(name)
    counts.update(f"{Path(folder).name}/" for folder in junk)
    return sorted(found)
