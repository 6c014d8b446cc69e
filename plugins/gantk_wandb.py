"""Weights & Biases: losses, previews and settings; offline in the run folder unless WANDB_MODE is set otherwise."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from translate import UsageError

PROJECT = "gantk"


class WeightsAndBiases:
    """``wandb sync RUN/wandb/offline-run-*`` uploads what an offline run wrote."""

    def __init__(self) -> None:
        if importlib.util.find_spec("wandb") is None:
            raise UsageError("--tracker wandb: not installed; expected pip install 'gantk[wandb]'")

    def begin(self, folder: Path, settings: Mapping[str, Any], start: int) -> None:
        """Open the run; a resumed one has the id that it had before."""
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read when it is imported, which takes a second
        import wandb

        folder = folder.absolute()
        mode: Any = os.environ.get("WANDB_MODE", "offline")
        self._image = wandb.Image
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=folder.name,
            id=hashlib.sha256(os.fsencode(folder)).hexdigest()[:16],
            resume="allow" if start else None,
            dir=str(folder),
            mode=mode,
            config=dict(settings),
            settings=wandb.Settings(silent=True, console="off", disable_git=True, save_code=False),
        )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One curve per name."""
        self._run.log(dict(values), step=step)

    def picture(self, step: int, file: Path) -> None:
        """The preview as an image of the same step."""
        self._run.log({"preview": self._image(str(file))}, step=step)

    def close(self) -> None:
        """Write what is left."""
        self._run.finish()
