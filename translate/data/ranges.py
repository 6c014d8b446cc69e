"""What the numbers in one domain's files mean: its ``--range``, measured where it is in percent, and its record."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from translate.console import current
from translate.contract import DataSpec, Loading
from translate.data.decode import ImageError, open_file
from translate.data.listing import Folders
from translate.data.pictures import Pictures
from translate.errors import UsageError
from translate.reading import Percentiles, Reading, Remarks

_MEASURED = 1 << 24
"""Numbers of all files together of which percentiles are taken, evenly spread over each."""


def reading_of(name: str, folders: Folders, loading: Loading) -> Reading:
    """How the pictures of domain ``name`` are opened. Raises ``UsageError`` where their numbers do not vary."""
    range_ = loading.ranges.get(name, loading.ranges.get(""))
    if isinstance(range_, Percentiles):
        range_ = _measure(range_, folders, loading)
        current().line(f"{folders}: black is {range_[0]:g} and white {range_[1]:g}, as measured")
    return replace(loading.reading, range=range_, remarks=Remarks(str(folders)))


def described(spec: DataSpec, readings: Mapping[str, Reading], pictures: Mapping[str, Pictures]) -> DataSpec:
    """The spec with the depth of its ``pictures`` and the ranges of their ``readings``, each by batch name.

    What was noted while they were read is reported now.
    """
    for reading in readings.values():
        if reading.remarks is not None:
            reading.remarks.report()
    bits = {name: of_name.bits for name, of_name in pictures.items() if of_name.bits != 8}
    ranges = {name: reading.range for name, reading in readings.items() if reading.range is not None}
    hidden = next(iter(readings.values())).hidden
    return replace(spec, bits=bits, ranges=ranges, hidden=hidden)


def _measure(range_: Percentiles, folders: Folders, loading: Loading) -> tuple[float, float]:
    each = max(256, _MEASURED // max(1, len(folders.files)))

    def some(path: Path) -> NDArray[np.float64]:
        with suppress(ImageError), open_file(path, loading.reading) as opened:
            values = opened.values().ravel()
            spread: NDArray[np.float64] = values[:: max(1, values.size // each)].astype(np.float64)
            return spread[np.isfinite(spread)]
        return np.empty(0)  # reading it reports why

    with ThreadPoolExecutor(max(1, loading.workers), "gantk-range") as pool:
        parts: Sequence[NDArray[np.float64]] = list(pool.map(some, folders.files))
    numbers = np.concatenate(parts) if parts else np.empty(0)
    low, high = np.percentile(numbers, [range_.low, range_.high]).tolist() if numbers.size else (0.0, 0.0)
    if not math.isfinite(low) or not low < high:
        raise UsageError(f"--range {range_.low:g}%..{range_.high:g}%: the numbers in {folders} do not vary so far")
    return low, high
