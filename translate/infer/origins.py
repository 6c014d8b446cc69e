"""Where the photos of a run lie that are not on this machine, or whose results do not stay on it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path, PurePath

from translate.data.listing import JUNK_FILES, JUNK_FOLDERS, NO_PICTURES
from translate.errors import UsageError
from translate.infer.catalogue import Origin
from translate.infer.plan import LONGEST, find, free_name
from translate.infer.stores import Listed, Stores
from translate.infer.urls import url_of, urls_of

Named = Sequence[tuple[Path, PurePath]]


def origins(
    inputs: Sequence[Path], named: Named, out: Path, stores: Stores, left_out: Counter[str]
) -> Iterator[Origin]:
    """The photos of ``plan``, from stores or from this machine, in the same order and for the same reasons."""
    if named:
        if urls := urls_of([path for path, _ in named], "--list"):
            yield from (_checked(Origin(url, inside, False)) for url, (_, inside) in zip(urls, named, strict=True))
            return
    elif urls := urls_of(inputs, "INPUT"):
        tops: set[str] | None = set() if len(urls) > 1 else None
        for url in urls:
            yield from _of(url, tops, url_of(out), stores, left_out)
        return
    for found in find(inputs, out, left_out, named):
        yield Origin(str(found.path), found.inside, found.listed, refusal=found.refusal)


def _of(url: str, tops: set[str] | None, out: str | None, stores: Stores, left_out: Counter[str]) -> Iterator[Origin]:
    """The photo that a URL names, or those below it, in a folder of its name unless ``tops`` is None."""
    name = url.rpartition("/")[2]
    if stores.is_file(url):
        yield _checked(Origin(url, PurePath(name), listed=False))
        return
    if url == out:
        raise UsageError(f"--out {url}: this is an input; expected another folder for the results")
    found = stores.names(url)
    if (first := next(found, None)) is None:
        raise UsageError(f"{url}: no such object or folder")
    top = PurePath() if tops is None else PurePath(free_name(name, tops))
    for one in _pictures(chain([first], found), left_out):
        place = f"{url}/{one.name}"
        if out is None or not place.startswith(f"{out}/"):
            yield _checked(Origin(place, top / one.name.lstrip("/"), True, one.size), one.name)


def _pictures(found: Iterable[Listed], left_out: Counter[str]) -> Iterator[Listed]:
    """What ``find_images`` would keep of a folder with these files."""
    counted = ""
    for one in found:
        *folders, name = one.name.split("/")
        if name.lower() in JUNK_FILES or any(part.startswith(".") for part in (*folders, name)):
            continue
        junk = next((place for place, folder in enumerate(folders, 1) if folder.lower() in JUNK_FOLDERS), None)
        suffix = PurePath(name).suffix.lower()
        if junk is not None:
            if counted != (counted := "/".join(folders[:junk])):
                left_out[f"{folders[junk - 1]}/"] += 1
        elif suffix in NO_PICTURES:
            left_out[suffix] += 1
        else:
            yield one


def _checked(photo: Origin, name: str | None = None) -> Origin:
    """The photo, refused where a part of its name, or of the ``name`` that its store has, can be none of a file."""
    parts = photo.inside.parts if name is None else name.split("/")
    if all(0 < len(os.fsencode(part)) <= LONGEST and not {"\0", os.sep} & set(part) for part in parts):
        return photo
    return Origin(photo.url, photo.inside, photo.listed, refusal="its name is none that a file could have")
