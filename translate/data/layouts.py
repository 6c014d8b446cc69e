"""Public layouts of data sets: recognised, and reported in one line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

_TRAINING = "train"
_HELD_OUT = frozenset({"val", "valid", "validation", "dev", "test"})


def training_part(flag: str, roots: Sequence[Path], tell: Callable[[str], None]) -> tuple[Path, ...]:
    """Each folder, or its ``train`` where all its sub-folders are parts of a data set: training, validation, test."""
    chosen: list[Path] = []
    for root in roots:
        names = folders_in(root)
        if _TRAINING in names and names <= {_TRAINING, *_HELD_OUT}:
            others = sorted(names - {_TRAINING})
            tell(f"{flag} {root}: taking {_TRAINING}" + (f"; not used: {', '.join(others)}" if others else ""))
            root = root / _TRAINING
        chosen.append(root)
    return tuple(chosen)


def folders_in(root: Path) -> set[str]:
    """The names of the folders directly in one, hidden ones left out; none where it cannot be read."""
    try:
        return {path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")}
    except OSError:
        return set()
