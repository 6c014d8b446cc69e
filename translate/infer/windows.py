"""Pictures larger than memory, read window by window and written tile by tile: what a package implements for a format.

gantk itself reads and writes TIFF this way. A package adds a `Format` under the entry-point group ``gantk.windows``, a
class without arguments; the files that it recognises are read by it, whatever their size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from translate import plugins
from translate.errors import UsageError, named_line

GROUP = "gantk.windows"

Values = NDArray[Any]
Tags = Mapping[int, Any]
"""Tags of a TIFF by their numbers."""


@dataclass(frozen=True)
class Form:
    """What a picture consists of: ``width`` x ``height`` pixels of ``channels`` numbers of NumPy type ``dtype``.

    ``alpha``: whether the last channel is transparency, 0 to the end of the type (1 for floats); ``premultiplied``:
    whether colours are multiplied by it. ``colours``: of the first channels, 1 for grey, 3 for RGB and 0 where they are
    no colours. ``bits``: of whole numbers, which decide what is white. ``inverted``: the smallest number is white.
    """

    width: int
    height: int
    channels: int
    dtype: str
    colours: int
    alpha: bool = False
    premultiplied: bool = False
    inverted: bool = False
    bits: int = 0

    def __post_init__(self) -> None:
        if not self.bits:
            object.__setattr__(self, "bits", 8 * np.dtype(self.dtype).itemsize)

    @property
    def nbytes(self) -> int:
        """Bytes of all its numbers."""
        return self.width * self.height * self.channels * np.dtype(self.dtype).itemsize


class Reader(ABC):
    """An open picture, upright, of one ``form``. It is used by one thread at a time."""

    form: Form

    @abstractmethod
    def read(self, y: int, x: int, h: int, w: int) -> Values:
        """The numbers (``h``, ``w``, channels) from row ``y`` and column ``x`` on, all within the picture.

        What it raises ends this picture, with its message as the reason; a ``ValueError`` is for people.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the file."""


class Writer(ABC):
    """A picture that is being written under a temporary name. Every pixel is written at least once."""

    @abstractmethod
    def write(self, y: int, x: int, tile: Values) -> None:
        """Put numbers (rows, columns, channels) where the first one is in row ``y`` and column ``x``."""

    @abstractmethod
    def flush(self) -> None:
        """Bring onto the disk what was written so far, so that a ``resumed`` writer finds it after a crash."""

    @abstractmethod
    def finish(self) -> None:
        """Complete and close the file, which gets its name then."""

    @abstractmethod
    def close(self) -> None:
        """Close the file as it is: the work was stopped or failed."""


class Format(ABC):
    """Reads, and perhaps writes, the files of some format."""

    @abstractmethod
    def opens(self, path: Path) -> bool:
        """Whether this file is of the format; a quick look. Never raises for a file of another one."""

    @abstractmethod
    def reader(self, path: Path) -> Reader:
        """Open a file that ``opens``. Raises ``ValueError`` with a reason for people where it is damaged."""

    def writer(
        self, path: Path, form: Form, source: Reader, *, scale: int, resumed: bool, tiff: Callable[[Form, Tags], Writer]
    ) -> Writer:
        """A writer of the result of ``source``, ``scale`` times as large; it takes numbers as ``form`` has them.

        The default, ``tiff(form, tags)``, is gantk's own tiled BigTIFF, which keeps what belongs to the picture; the
        tags come on top of it. Another one writes to ``path``; ``resumed``: there is a file with what another process
        flushed, and it is continued.
        """
        return tiff(form, {})


@cache
def formats() -> tuple[tuple[plugins.Plugin, Format], ...]:
    """What the installed packages read, by name. Raises ``UsageError`` where one of them cannot be used."""
    found = []
    for plugin in filter(plugins.permitted, plugins.installed(GROUP)):
        kind = plugins.import_plugin(plugin)
        if not (isinstance(kind, type) and issubclass(kind, Format)):
            raise plugins.PluginError(f"plugin {plugin.origin}: {plugin.attribute} is no subclass of {Format.__name__}")
        try:
            found.append((plugin, kind()))
        except Exception as error:
            raise UsageError(f"plugin {plugin.origin} cannot be used: {named_line(error)}") from error
    return tuple(found)


def format_of(path: Path) -> Format | None:
    """The format of an installed package that recognises a file."""
    for plugin, format_ in formats():
        with plugins.blamed(plugin, f"to look at {path.name}"):
            if format_.opens(path):
                return format_
    return None
