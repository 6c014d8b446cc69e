"""Which runs differ in their seed alone: what their figures differ by is the noise of training."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from translate.settings import Run

CONFIG, DATA = "config.toml", "data.json"
"""What a run folder holds beside its model: its settings, and a record of its data's files."""

_DECISIVE = frozenset({"steps", "epochs", "schedule_steps", "precision", "accumulate", "clip"})
"""Settings that a resumed run may change, and that change what it learns."""


def recipe(model: Path) -> Mapping[str, Any]:
    """``recipe``, a digest of all that decided the run of a model file but its seed, and ``seed``.

    Nothing where the file does not lie in a run folder.
    """
    try:
        config = tomllib.loads((model.parent / CONFIG).read_text(encoding="utf-8"))
        data = json.loads((model.parent / DATA).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    run = dict(config.get("run", {}))
    seed = run.pop("seed", None)
    decided = {key: run[key] for key in run.keys() - (Run.changeable() - _DECISIVE)}
    parts = [config.get("plugin"), config.get("model"), decided, sorted(data.items())]
    text = json.dumps(parts, sort_keys=True)
    return {"recipe": hashlib.sha256(text.encode()).hexdigest()[:16], "seed": seed}
