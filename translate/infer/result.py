"""A translated picture."""

from __future__ import annotations

from dataclasses import dataclass, field

from translate.infer.canvas import Canvas


@dataclass
class Result:
    """A translated picture: its pixels, and how they came about."""

    canvas: Canvas
    tiles: int = 1
    passes: int = 1
    notes: list[str] = field(default_factory=list)
