"""What lies where in a run folder. Imports nothing heavy, so that a wrong folder is refused at once."""

from __future__ import annotations

from pathlib import Path

from translate.errors import UsageError

CONFIG = "config.toml"
DATA = "data.json"
METRICS = "metrics.jsonl"
CHECKPOINTS = "checkpoints"
PREVIEWS = "previews"
BEST = "best.safetensors"
"""The model after the best step, beside that of the last."""


def check_run(path: Path, file: str = CONFIG) -> None:
    """Raise ``UsageError`` for a folder that is no run, as a file is missing that every run has."""
    if not (path / file).is_file():
        raise UsageError(f"{path}: no run folder ({file} is missing)")
