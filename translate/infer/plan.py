"""Which photo becomes which file: found and named before the first one is read."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePath

from translate.data.listing import find_images
from translate.errors import UsageError
from translate.infer.options import InferOptions, check_inputs
from translate.infer.windows import format_of

SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "TIFF": (".tiff", ".tif"),
    "BMP": (".bmp",),
    "NPY": (".npy",),
    "PPM": (".ppm", ".pgm", ".pnm"),
}
"""Formats that we write, by Pillow's name, and the suffixes they go by, our own first."""

RAW = frozenset({".nef", ".dng", ".cr2", ".cr3", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw"})
"""Suffixes of what cameras write before it is a picture."""

KNOWN = RAW.union(*SUFFIXES.values()) | {
    *(".apng", ".avif", ".dds", ".dib", ".exr", ".gif", ".hdr", ".heic", ".heif", ".icns", ".ico", ".j2k", ".jp2"),
    *(".jpx", ".mpo", ".pbm", ".pcx", ".psd", ".sgi", ".svg", ".tga"),
}
"""Suffixes that promise a picture. A file in a folder with another suffix that holds none is no failure."""

LONGEST = 255
"""Bytes (on most systems) that a file name may have."""

OVERWRITES = "its result would overwrite an input; choose another --out or a --suffix"


@dataclass(frozen=True)
class Job:
    """One photo to do. ``target``: where its result goes; ``format``: Pillow's name of the format to write.

    ``out``: the output folder. ``alternative``: where the result goes as PNG if that format turns out not to hold it.
    ``kept``: whether the format is what ``--format`` asks for; False where we do not write the photo's own.
    ``listed``: found in a folder, not named by the user. ``number``: place among all jobs, which shards it.
    ``inside``: its place below the output folder, by its own name. ``others``: the files of the direction's further
    inputs. ``refusal``: why it cannot be done, known before reading.
    """

    number: int
    path: Path
    out: Path
    target: Path
    alternative: Path
    format: str
    kept: bool
    listed: bool
    inside: PurePath
    others: tuple[Path, ...] = ()
    refusal: str | None = None

    @property
    def promises_picture(self) -> bool:
        """Whether it is a failure if this turns out to be no picture."""
        return not self.listed or self.path.suffix.lower() in KNOWN


@dataclass(frozen=True)
class Found:
    """A photo before its result has a name. ``inside``, ``listed`` and ``refusal``: as a `Job` has them."""

    path: Path
    inside: PurePath
    listed: bool
    refusal: str | None = None


def plan(
    inputs: Sequence[Path],
    out: Path,
    options: InferOptions,
    channels: int = 3,
    left_out: Counter[str] | None = None,
    named: Sequence[tuple[Path, PurePath]] = (),
) -> list[Job]:
    """All photos in a fixed order, each with an output of its own.

    A file goes to the top of ``out``; a folder's content too where it is the only input, else into a folder of its
    name, so that ``gantk infer MODEL photos/*`` mirrors ``photos``. A photo reached twice is done once. Where two
    results would have one name (``a.jpg`` and ``a.png`` with ``--format png``), they keep the photo's full name
    (``a.jpg.png``), and else get a number. A folder inside an input that cannot be read is a job that is refused.
    ``named``: photos with their places below ``out``, of which a missing one is refused too.
    ``channels``: of the results; a ``.pgm`` becomes a ``.ppm`` where it gets colours. What lies in ``out`` is never an
    input. ``left_out`` counts what is left out by its name, see ``find_images``. Raises ``UsageError`` where an input
    does not exist, cannot be read as a folder, is ``out`` itself, or would be overwritten.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: this is a file; expected a folder")
    return jobs_of(find(inputs, out, left_out, named), out, options, channels)


def find(
    inputs: Sequence[Path],
    out: Path,
    left_out: Counter[str] | None = None,
    named: Sequence[tuple[Path, PurePath]] = (),
) -> list[Found]:
    """The photos of ``plan``, each once."""
    return list(_once(chain(_listed(inputs, out.resolve(), left_out), _named(named))))


def jobs_of(
    listed: Sequence[Found],
    out: Path,
    options: InferOptions,
    channels: int = 3,
    format_of: Callable[[Path], str | None] | None = None,
) -> list[Job]:
    """The jobs of photos, of which those that are refused come last.

    ``format_of``: a photo's own format, for ``--format keep``; by default what its first bytes are.
    """
    found = [item for item in listed if item.refusal is None]
    names = _names(found, options, channels, format_of or _sniffed)
    own = {known for item in found if (known := identity(item.path))}
    taken = {_folded(name) for name, *_ in names} | _folders(found)
    jobs = []
    for number, (item, (name, format_, kept)) in enumerate(zip(found, names, strict=True)):
        target = out / name
        refusal = None
        if identity(target) in own:
            refusal = OVERWRITES
        elif not item.listed and not _is_regular(item.path):
            refusal = "not a regular file"
        other, turn = name.with_name(_fitting(name.name, ".png")), 2
        while _folded(other) in taken or identity(out / other) in own:
            other, turn = name.with_name(_fitting(f"{name.name}~{turn}", ".png")), turn + 1
        taken.add(_folded(other))
        jobs.append(
            Job(number, item.path, out, target, out / other, format_, kept, item.listed, item.inside, refusal=refusal)
        )
    for item in listed:
        if item.refusal is not None:
            place = out / item.inside
            jobs.append(
                Job(
                    len(jobs),
                    item.path,
                    out,
                    place,
                    place,
                    "PNG",
                    False,
                    item.listed,
                    item.inside,
                    refusal=item.refusal,
                )
            )
    return jobs


def family(inside: PurePath) -> PurePath:
    """Equal for photos whose results may want one name: what is left of theirs without suffixes and numbers of ours."""
    name = inside.name
    while True:
        shorter = re.sub(r"~[0-9]+$", "", name)
        if PurePath(shorter).suffix.lower() in KNOWN:
            shorter = PurePath(shorter).stem
        if shorter in (name, ""):
            return PurePath(_folded(inside.with_name(name)))
        name = shorter


def promised_format(path: Path) -> str | None:
    """The format that a photo's suffix promises; None for what we do not write."""
    return next((name for name, known in SUFFIXES.items() if path.suffix.lower() in known), None)


def _listed(inputs: Sequence[Path], home: Path, left_out: Counter[str] | None) -> Iterator[Found]:
    check_inputs(inputs)
    tops: set[str] = set()
    for given in inputs:
        if not given.is_dir():
            yield Found(given, PurePath(given.name), listed=False)
            continue
        if given.resolve() == home:
            raise UsageError(f"--out {given}: this is an input; expected another folder for the results")
        top = PurePath()
        if len(inputs) > 1:
            top = PurePath(free_name(given.resolve().name or "root", tops))
        nested = given.resolve() in home.parents
        refused: dict[Path, str] = {}
        paths = find_images(given, refused.__setitem__, left_out)
        for place, reason in refused.items():
            yield Found(place, top / place.relative_to(given), True, reason)
        for path in paths:
            if not (nested and path.parent.resolve().is_relative_to(home)):
                yield Found(path, top / path.relative_to(given), listed=True)


def _named(photos: Sequence[tuple[Path, PurePath]]) -> Iterator[Found]:
    for path, inside in photos:
        refusal = None
        if not os.path.lexists(path):
            refusal = "no such file"
        elif path.is_dir():
            refusal = "this is a folder; a list names photos alone"
        yield Found(path, inside, listed=False, refusal=refusal)


def _once(found: Iterator[Found]) -> Iterator[Found]:
    places_known: set[str] = set()
    for item in found:
        # The folder's real path, but not the file's: a link beside its target is a photo of its own.
        place = os.path.join(os.path.realpath(item.path.parent), item.path.name)  # noqa: PTH118
        if place not in places_known:
            places_known.add(place)
            yield item


def _names(
    found: Sequence[Found], options: InferOptions, channels: int, format_of: Callable[[Path], str | None]
) -> list[tuple[PurePath, str, bool]]:
    """Each result's path below the output folder, its format, and whether that is the requested one."""
    wanted = []
    for item in found:
        if options.format == "keep":
            own_format = format_of(item.path)
            format_, kept = own_format or "PNG", own_format is not None
            suffix = _suffix(item.path.suffix, format_, channels)
        else:
            suffix = options.target_suffix
            kept = True
            format_ = next(name for name, known in SUFFIXES.items() if suffix in known)
        own = item.inside.name
        # What follows the last dot is a suffix where it promises a picture; "no. 12" has none.
        stem = item.inside.stem if item.inside.suffix.lower() in KNOWN else own
        wanted.append((item.inside.with_name(_fitting(stem + options.suffix, suffix)), suffix, format_, kept))
    counts: dict[str, int] = {}
    for name, *_ in wanted:
        counts[_folded(name)] = counts.get(_folded(name), 0) + 1
    taken = _folders(found)
    names: dict[int, PurePath] = {}
    # Whoever has its name to itself keeps it, then whoever was called so before; the others make way.
    order = sorted(
        range(len(found)), key=lambda i: (counts[_folded(wanted[i][0])] > 1, wanted[i][0] != found[i].inside, i)
    )
    for i in order:
        name, suffix, *_ = wanted[i]
        if _folded(name) in taken:
            name = found[i].inside.with_name(_fitting(found[i].inside.name + options.suffix, suffix))
        number = 2
        while _folded(name) in taken:
            name = found[i].inside.with_name(_fitting(f"{found[i].inside.name}{options.suffix}~{number}", suffix))
            number += 1
        taken.add(_folded(name))
        names[i] = name
    return [(names[i], wanted[i][2], wanted[i][3]) for i in range(len(found))]


def _suffix(own: str, format_: str, channels: int) -> str:
    """A photo's own suffix where that is true of its result, else the format's first."""
    known = SUFFIXES[format_]
    if format_ == "PPM":  # the one format whose suffix tells grey from colour; .pnm is either
        known = (".pgm" if channels == 1 else ".ppm", ".pnm")
    return own if own.lower() in known else known[0]


def _folders(found: Sequence[Found]) -> set[str]:
    return {_folded(folder) for item in found for folder in item.inside.parents}


def free_name(name: str, taken: set[str]) -> str:
    """The name, with a number where it is ``taken``; taken from now on."""
    free, number = name, 2
    while free.casefold() in taken:
        free, number = f"{name}~{number}", number + 1
    taken.add(free.casefold())
    return free


def _folded(path: PurePath) -> str:
    """Equal for names that this system takes for one."""
    if sys.platform in ("win32", "darwin"):
        return unicodedata.normalize("NFC", str(path)).casefold()
    return str(path)


def _fitting(stem: str, suffix: str) -> str:
    """Stem and suffix; a stem too long for a file name is cut, and marked by a digest of the whole."""
    if len(os.fsencode(stem + suffix)) <= LONGEST:
        return stem + suffix
    end = "~" + hashlib.sha256(os.fsencode(stem)).hexdigest()[:8] + suffix
    cut = stem
    while len(os.fsencode(cut + end)) > LONGEST:
        cut = cut[:-1]
    return cut + end


def _sniffed(path: Path) -> str | None:
    """A photo's own format, by its first bytes; None for what we do not write. What a package reads becomes TIFF."""
    try:
        if not _is_regular(path):
            return None
        if format_of(path) is not None:
            return "TIFF"
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return None
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if head.startswith(b"BM"):
        return "BMP"
    if head.startswith(b"\x93NUMPY"):
        return "NPY"
    if head[:2] in (b"P5", b"P6", b"P2", b"P3"):
        return "PPM"
    return "PNG" if head.startswith(b"\x89PNG") else None


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def identity(path: Path) -> tuple[int, int] | None:
    """What a file is, by whatever name."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
