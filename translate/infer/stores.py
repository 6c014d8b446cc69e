"""Where photos and results lie that are not on this machine: object stores, and what else fsspec knows."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs

from translate.errors import GantkError, UsageError, named_line
from translate.files import temporary_beside
from translate.infer.outputs import FULL

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}
"""What to install for a scheme, as extras of ours."""

WHOLE = frozenset({*EXTRAS, "abfs", "abfss", "az", "oci", "oss"})
"""Schemes of object stores, where an object appears whole or not at all."""

PAUSES = (1.0, 4.0)
"""Seconds before each further try at an object. What a store's own client repeats comes on top."""


class StoreError(GantkError):
    """One object cannot be read or written; the message is the reason."""


class DeniedError(StoreError):
    """The store does not let us."""


@dataclass(frozen=True)
class Listed:
    """An object below a folder: its ``name`` below it, and its ``size`` in bytes."""

    name: str
    size: int


class Stores:
    """Stores by their URLs. May be used by several threads at once."""

    def __init__(self) -> None:
        self._shared: dict[str, Any] = {}

    def is_file(self, url: str) -> bool:
        """Whether there is an object of that very name. Raises ``UsageError`` where the store cannot be reached."""
        with _reached(url):
            files, path = self._open(url)
            return bool(files.isfile(path))

    def names(self, url: str) -> Iterator[Listed]:
        """All that lies below a folder, in the order of the names' code points; those of folders are left out.

        Takes the memory of a page on S3, elsewhere that of the largest folder. Raises ``UsageError`` where the store
        cannot be reached.
        """
        with _reached(url):
            files, root = self._open(url)
            found = _pages(files, root) if url.startswith(("s3:", "s3a:")) else _walk(files, root, "")
            yield from (one for one in found if one.name and not one.name.endswith("/"))

    def get(self, url: str, to: Path) -> None:
        """Copy an object into a temporary file. Raises ``StoreError``, and ``GantkError`` where the disk is full."""
        files, path = self._open(url)
        _patiently(lambda: files.get_file(path, str(to)))

    def put(self, file: Path, url: str) -> None:
        """Copy a finished file to where it is seen whole or not at all. Raises ``StoreError``."""
        files, path = self._open(url)
        if url.partition(":")[0] in WHOLE:
            _patiently(lambda: files.put_file(str(file), path))
            return
        folder, _, name = path.rpartition("/")
        temporary = f"{folder}/{temporary_beside(Path(name)).name}"

        def put() -> None:
            files.makedirs(folder, exist_ok=True)
            files.put_file(str(file), temporary)
            files.mv(temporary, path)

        try:
            _patiently(put)
        except StoreError:
            with suppress(Exception):  # as far as the store lets us
                files.rm_file(temporary)
            raise

    def _open(self, url: str) -> tuple[Any, str]:
        scheme, _, rest = url.partition("://")
        place = f"{scheme}://{rest.partition('/')[0]}"
        if (files := self._shared.get(place)) is None:
            files = url_to_fs(url, use_listings_cache=False)[0]
            if files.async_impl:  # others are not meant for several threads, and fsspec keeps one for each
                self._shared[place] = files
        return files, files._strip_protocol(url)


def _pages(files: Any, root: str) -> Iterator[Listed]:
    """The objects below a folder of S3, which lists them in order, a thousand at a time."""
    bucket, _, folder = root.partition("/")
    prefix = f"{folder.rstrip('/')}/" if folder else ""
    asked: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
    while True:
        page = files.call_s3("list_objects_v2", **asked)
        for one in page.get("Contents", ()):
            yield Listed(one["Key"][len(prefix) :], one["Size"])
        if not page.get("IsTruncated"):
            return
        asked["ContinuationToken"] = page["NextContinuationToken"]


def _walk(files: Any, folder: str, above: str) -> Iterator[Listed]:
    """The same of a store that lists folder by folder: a folder's files stand where its name and a slash do."""
    entries = {}
    try:
        for entry in files.ls(folder, detail=True):
            inside = entry["name"].rstrip("/").removeprefix(folder.rstrip("/")).lstrip("/")
            if inside:
                entries[inside + "/" * (entry["type"] == "directory")] = entry
    except (FileNotFoundError, NotADirectoryError):
        return  # a store without folders has none that is empty
    for inside, entry in sorted(entries.items()):
        if entry["type"] == "directory":
            yield from _walk(files, entry["name"], above + inside)
        else:
            yield Listed(above + inside, entry.get("size") or 0)


@contextmanager
def _reached(url: str) -> Iterator[None]:
    try:
        yield
    except GantkError:
        raise
    except ImportError as error:
        extra = EXTRAS.get(url.partition(":")[0])
        needed = f"pip install 'gantk[{extra}]'" if extra else "the package of this store"
        raise UsageError(f"{url}: expected {needed} ({named_line(error)})") from None
    except Exception as error:  # each store has its own
        raise UsageError(f"{url}: {named_line(error)}") from None


def _patiently(copy: Callable[[], object]) -> None:
    for pause in (*PAUSES, None):
        try:
            copy()
            return
        except PermissionError as error:
            raise DeniedError(named_line(error)) from None
        except Exception as error:  # each store has its own
            if isinstance(error, OSError) and error.errno in FULL:
                raise GantkError(f"{tempfile.gettempdir()}: the disk is full; TMPDIR names another folder") from None
            if isinstance(error, FileNotFoundError) or pause is None:
                raise StoreError(named_line(error)) from None
            time.sleep(pause)
