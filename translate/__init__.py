"""gantk: train, run and publish image-to-image GANs.

These names are what a plugin and a program may build on; each is imported when it is first used, so that importing
`translate` costs nothing. Losses, layers and networks to build with are in the modules `translate.losses`,
`translate.layers`, `translate.generators` and `translate.discriminators`; `translate.testing` proves a task model.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from translate.data.sources import Dataset, Loading, Source
    from translate.errors import GantkError, UsageError
    from translate.plugins import API_VERSION
    from translate.published import Published, load_published
    from translate.run import Run
    from translate.task import (
        Batch,
        DataSpec,
        Direction,
        Nets,
        Networks,
        Noise,
        Phase,
        TaskModel,
        Terms,
        linear_decay,
    )

__all__ = [
    "API_VERSION",
    "Batch",
    "DataSpec",
    "Dataset",
    "Direction",
    "GantkError",
    "Loading",
    "Nets",
    "Networks",
    "Noise",
    "Phase",
    "Published",
    "Run",
    "Source",
    "TaskModel",
    "Terms",
    "UsageError",
    "linear_decay",
    "load_published",
]

_ELSEWHERE = {
    "API_VERSION": "translate.plugins",
    "Dataset": "translate.data.sources",
    "Loading": "translate.data.sources",
    "Source": "translate.data.sources",
    "GantkError": "translate.errors",
    "UsageError": "translate.errors",
    "Published": "translate.published",
    "load_published": "translate.published",
    "Run": "translate.run",
}
"""Where a public name is defined, if not in `translate.task`."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'translate' has no attribute {name!r}")
    value = getattr(importlib.import_module(_ELSEWHERE.get(name, "translate.task")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
