"""The contact sheet of ``gantk infer``: each photo before and after, how long it took, what is to be known of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from translate.data.decode import open_file
from translate.data.values import at_depth
from translate.errors import GantkError, shortened
from translate.infer.urls import local_copy
from translate.reading import Reading
from translate.report.pictures import BUDGET, data_uri, of_pixels
from translate.report.render import render

SIDE = 512
"""Pixels of the longer side of a picture on a sheet."""
BANDS = 3


@dataclass(frozen=True)
class Row:
    """One photo. ``before``, ``after``: data URIs, empty where there is none to show."""

    name: str
    status: str
    before: str
    after: str
    seconds: float | None
    sizes: str
    notes: tuple[str, ...]


def sheet(title: str, entries: Sequence[Mapping[str, Any]], reading: Reading, budget: int = BUDGET) -> str:
    """The page of the records that ``gantk infer`` gives of its files.

    ``reading``: how the photos were opened. Once their pictures have taken ``budget`` bytes, the others are listed
    without.
    """
    rows, left, without = [], budget, 0
    folder = os.path.commonpath([Path(entry["input"]).absolute().parent for entry in entries]) if entries else ""
    for entry in sorted(entries, key=lambda entry: entry["status"] != "failed"):
        before = after = ""
        if entry["status"] != "ignored" and entry["output"] is not None:
            if left > 0:
                before, after = (_picture(entry[key], reading) for key in ("input", "output"))
                left -= (len(before) + len(after)) * 3 // 4
            else:
                without += 1
        rows.append(_row(os.path.relpath(entry["input"], folder), entry, before, after))
    counts = {status: sum(row.status == status for row in rows) for status in ("done", "skipped", "ignored", "failed")}
    return render(
        "sheet.html",
        title=title,
        rows=[row for row in rows if row.status != "ignored"],
        counts={status: count for status, count in counts.items() if count},
        seconds=sum(row.seconds or 0.0 for row in rows),
        without=without,
        script=("common.js", "compare.js", "sheet.js"),
    )


def _row(name: str, entry: Mapping[str, Any], before: str, after: str) -> Row:
    sizes = ["x".join(map(str, entry[key])) for key in ("size", "result_size") if key in entry]
    return Row(
        shortened(name, 200),
        str(entry["status"]),
        Markup(before),
        Markup(after),
        entry.get("seconds"),
        " → ".join(dict.fromkeys(sizes)),
        tuple(shortened(note, 300) for note in (*entry.get("notes", ()), *filter(None, [entry.get("reason")]))),
    )


def _picture(place: str, reading: Reading) -> str:
    """A file by its path or URL as a small WebP; empty where it cannot be shown."""
    try:
        with local_copy(place) as path, open_file(path, reading) as opened:
            return data_uri(of_pixels(on_screen(opened.decode(BANDS).pixels), SIDE))
    except (GantkError, OSError):
        return ""


def on_screen(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """(H, W, C) of any depth as RGB in uint8."""
    shown = at_depth(pixels, np.dtype(np.uint8)).astype(np.uint8, copy=False)
    return np.ascontiguousarray(np.repeat(shown, 3, axis=2) if shown.shape[2] == 1 else shown[:, :, :3])
