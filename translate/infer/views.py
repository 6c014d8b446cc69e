"""A picture that stays in its file, read window by window as the pixels that a network takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from translate.data.alpha import on_white
from translate.data.decode import Decoded, Opened
from translate.data.deep import Deep
from translate.data.formats import ImageError
from translate.data.values import Pixels
from translate.errors import GantkError, named_line, one_line
from translate.infer.inputs import Input, Stack
from translate.infer.levels import extent, varies
from translate.infer.photos import lose_profile
from translate.infer.tiling import padded_side
from translate.infer.windows import Form, Reader, Values


def header_of(form: Form, read: Callable[[], Values]) -> Deep:
    """What the readers of whole files say of a picture of this form."""
    return Deep(
        form.width,
        form.height,
        form.channels,
        form.colours,
        form.bits,
        read,
        alpha=form.alpha,
        premultiplied=form.premultiplied,
        inverted=form.inverted,
    )


class View:
    """The pixels in the file ``path``, as the input ``into`` of a network takes them.

    ``carried``: transparency is not laid on white. ``profile``: the colours are converted from it to sRGB. ``reach``:
    as far as an output depends on pixels, None where it depends on all of them. ``notes``: what the user should know.
    """

    def __init__(
        self, path: Path, reader: Reader, into: Input, *, carried: bool, profile: bytes | None, reach: int | None
    ) -> None:
        self.form = reader.form
        self.notes: dict[str, None] = {}
        self._path = path
        self._reader = reader
        self._into = into
        self._carried = carried
        self._profile = profile
        # Colours under alpha 0 come from the nearest visible pixels, which may lie beyond a window.
        filled = self.form.alpha and into.reading.hidden == "fill" and (carried or into.channels == 4)
        self._around: int | None = 0 if not filled else None if reach is None else math.ceil(1.5 * reach)

    @cached_property
    def first(self) -> Decoded:
        """The first pixel, for what all have in common."""
        return self._decoded(0, 0, 1, 1, 0)

    def decoded(self, y: int, x: int, h: int, w: int) -> Decoded:
        """A window. Raises ``ImageError`` where it is damaged, or what is hidden in it depends on the whole picture."""
        if (h, w) == (self.form.height, self.form.width):
            return self._decoded(y, x, h, w, 0)
        if self._around is None:
            raise ImageError(
                self._path,
                "too large to be read at once, and its hidden colours depend on the whole picture, as this model's "
                "norm layers do; expected --alpha drop",
            )
        return self._decoded(y, x, h, w, self._around)

    def _decoded(self, y: int, x: int, h: int, w: int, around: int) -> Decoded:
        top, left = max(0, y - around), max(0, x - around)
        bottom, right = min(self.form.height, y + h + around), min(self.form.width, x + w + around)
        part = replace(self.form, width=right - left, height=bottom - top)
        header = header_of(part, lambda: self._read(top, left, bottom - top, right - left))
        decoded = Opened(self._path, self._into.reading, None, header).decode(self._into.channels)
        if self._profile is not None:
            lose_profile(decoded, self._profile)
        inner = slice(y - top, y - top + h), slice(x - left, x - left + w)
        decoded.pixels = decoded.pixels[inner]
        decoded.alpha = None if decoded.alpha is None else decoded.alpha[inner]
        if decoded.alpha is not None and not self._carried:
            decoded.pixels, decoded.alpha = on_white(decoded.pixels, decoded.alpha), None
        self.notes |= dict.fromkeys(decoded.notes)
        return decoded

    def pixels(self, y: int, x: int, h: int, w: int) -> Pixels:
        """The pixels of a window, (h, w, C)."""
        return self.decoded(y, x, h, w).pixels

    def alpha(self, y: int, x: int, h: int, w: int) -> Pixels:
        """The transparency of a window, (h, w)."""
        alpha = self._decoded(y, x, h, w, 0).alpha
        assert alpha is not None
        return alpha

    def _read(self, y: int, x: int, h: int, w: int) -> Values:
        expected = (h, w, self.form.channels)
        try:
            values = self._reader.read(y, x, h, w)
        except (GantkError, MemoryError):
            raise
        except OSError as error:
            raise ImageError(
                self._path, f"cannot be read at {x:,},{y:,}: {error.strerror or one_line(error)}"
            ) from None
        except Exception as error:
            reason = one_line(error) if isinstance(error, ValueError) else named_line(error)
            raise ImageError(self._path, f"damaged within {x:,},{y:,} to {x + w:,},{y + h:,}: {reason}") from error
        if values.shape != expected:
            raise ImageError(self._path, f"its reader gives {values.shape} for a window of {expected}")
        return values


@dataclass
class _Seen:
    low: float = math.inf
    high: float = -math.inf


class WindowedPicture:
    """A `Picture` of which windows are read as they are needed: row i of it is row ``rows[i]`` of the view."""

    def __init__(self, view: View, rows: NDArray[np.intp], columns: NDArray[np.intp], seen: _Seen) -> None:
        self._view = view
        self._rows = rows
        self._columns = columns
        self._seen = seen

    @classmethod
    def of(cls, view: View) -> WindowedPicture:
        """The whole of a view."""
        return cls(view, np.arange(view.form.height), np.arange(view.form.width), _Seen())

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return len(self._rows), len(self._columns)

    @property
    def kind(self) -> np.dtype[Any]:
        """The type of its pixels."""
        return self._view.first.pixels.dtype

    def __getitem__(self, place: tuple[slice, slice]) -> Stack:
        runs = [_runs(axis[part]) for axis, part in zip((self._rows, self._columns), place, strict=True)]
        bands = [_joined([self._run(rows, columns) for columns in runs[1]], axis=1) for rows in runs[0]]
        pixels = _joined(bands, axis=0)
        low, high = extent(pixels)
        self._seen.low, self._seen.high = min(self._seen.low, low), max(self._seen.high, high)
        return Stack((pixels,))

    def _run(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Pixels:
        y, x = int(rows.min()), int(columns.min())
        pixels = self._view.pixels(y, x, int(rows.max()) - y + 1, int(columns.max()) - x + 1)
        if all(int(places[-1] - places[0]) + 1 == len(places) for places in (rows, columns)):
            return pixels  # nothing is mirrored
        return pixels[np.ix_(rows - y, columns - x)]

    def padded(self, multiple: int) -> WindowedPicture:
        """Both sides grown to a multiple, as ``tiling.padded`` does it."""
        return self._grown(multiple, 0, "reflect")

    def wrapped(self, multiple: int, around: int) -> WindowedPicture:
        """The same, and ``around`` more on all four sides, as ``tiling.wrapped`` does it."""
        return self._grown(multiple, around, "wrap")

    def _grown(self, multiple: int, around: int, mode: Any) -> WindowedPicture:
        rows, columns = (
            np.pad(axis, (around, padded_side(len(axis), multiple) - len(axis) + around), mode=mode)
            for axis in (self._rows, self._columns)
        )
        return WindowedPicture(self._view, rows, columns, self._seen)

    def varied(self) -> bool:
        """Whether what was read of it ``varies``."""
        return varies((self._seen.low, self._seen.high))


def _joined(parts: list[Pixels], axis: int) -> Pixels:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis)


def _runs(places: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Split where neighbours are not neighbours in the file."""
    return np.split(places, np.flatnonzero(np.abs(np.diff(places)) > 1) + 1)
