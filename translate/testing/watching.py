"""Looking on while a loss or a direction runs: what it reads on the host, what it asks the length of."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode


def caller(own: Path) -> str:
    """``file:line in function`` of the innermost call in ``own``, a file or a folder; empty where there is none."""
    for frame in reversed(traceback.extract_stack()):
        if Path(frame.filename).is_relative_to(own):
            return f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}"
    return ""


class HostReads(TorchDispatchMode):
    """Notes where a value of a tensor becomes a Python number: ``.item()``, ``float``, a branch."""

    def __init__(self, own: Path) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.own = own
        self.places: dict[str, None] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            self.places.setdefault(caller(self.own))
        return func(*args, **(kwargs or {}))


class Lengths(TorchFunctionMode):
    """Notes where ``len`` is taken of a tensor, which a traced function keeps as a constant."""

    def __init__(self, own: Path) -> None:
        super().__init__()
        self.own = own
        self.places: dict[str, None] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is Tensor.__len__:
            self.places.setdefault(caller(self.own))
        return func(*args, **(kwargs or {}))
