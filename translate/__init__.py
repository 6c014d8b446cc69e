"""gantk: train, run and publish image-to-image GANs.

These names are what a plugin and a program may build on; each is imported when it is first used, so that importing
`translate` costs nothing. Losses, layers and networks to build with are in the modules `translate.losses`,
`translate.layers`, `translate.generators` and `translate.discriminators`; `translate.testing` proves a task model.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from translate.api import train
    from translate.console import Console, using
    from translate.contract import (
        Batch,
        Condition,
        Dataset,
        DataSpec,
        Direction,
        Loading,
        Nets,
        Networks,
        Noise,
        Phase,
        Source,
        TaskModel,
        Terms,
        linear_decay,
    )
    from translate.errors import GantkError, UsageError
    from translate.evaluation.evaluate import evaluate
    from translate.model import Model, load
    from translate.settings import Run

API_VERSION = 2
"""Version of the plugin contract, `translate.contract`; a plugin states the one it was written for as
``TaskModel.api``."""

__all__ = [
    "API_VERSION",
    "Batch",
    "Condition",
    "Console",
    "DataSpec",
    "Dataset",
    "Direction",
    "GantkError",
    "Loading",
    "Model",
    "Nets",
    "Networks",
    "Noise",
    "Phase",
    "Run",
    "Source",
    "TaskModel",
    "Terms",
    "UsageError",
    "evaluate",
    "linear_decay",
    "load",
    "train",
    "using",
]

_ELSEWHERE = {
    "Console": "translate.console",
    "using": "translate.console",
    "GantkError": "translate.errors",
    "UsageError": "translate.errors",
    "evaluate": "translate.evaluation.evaluate",
    "Model": "translate.model",
    "Run": "translate.settings",
    "load": "translate.model",
    "train": "translate.api",
}
"""Where a public name is defined, if not in `translate.contract`."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("gantk")
    if name not in __all__:
        raise AttributeError(f"module 'translate' has no attribute {name!r}")
    value = getattr(importlib.import_module(_ELSEWHERE.get(name, "translate.contract")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
