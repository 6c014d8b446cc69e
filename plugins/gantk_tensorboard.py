"""TensorBoard files in the run folder: losses, previews and settings."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from translate import UsageError

FOLDER = "tensorboard"


class TensorBoard:
    """Writes event files to ``RUN/tensorboard``; ``tensorboard --logdir RUN`` shows them."""

    def __init__(self) -> None:
        if importlib.util.find_spec("tensorboard") is None:
            raise UsageError("--tracker tensorboard: not installed; expected pip install 'gantk[tensorboard]'")

    def begin(self, folder: Path, settings: Mapping[str, Any], start: int) -> None:
        """Open the event file; events past ``start``, which a resumed run repeats, are hidden."""
        from torch.utils.tensorboard import SummaryWriter  # seconds, which only a run with it spends

        self._writer = SummaryWriter(str(folder / FOLDER), purge_step=start + 1)
        self._writer.add_text("settings", f"```\n{json.dumps(settings, indent=2)}\n```", start)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One curve per name."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, step: int, file: Path) -> None:
        """The preview as an image."""
        with Image.open(file) as image:
            self._writer.add_image("preview", np.asarray(image.convert("RGB")), step, dataformats="HWC")

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
