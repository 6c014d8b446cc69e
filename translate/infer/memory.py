"""How much memory there is, how much a network takes, and what it looks like when it runs out."""

from __future__ import annotations

import math
import os
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, UntypedStorage
from torch.utils._python_dispatch import TorchDispatchMode

if sys.platform != "win32":
    import resource

GIB = 1 << 30
LARGEST_TILE = 2 * GIB
"""Most bytes of a tile on a CPU, so that a photo of 50 megapixels takes less than 4 GB."""

UNKNOWN = 4 * GIB
"""What counts as free where the system does not report it."""

HUNGRIEST = 64 << 10
"""Bytes of activations per pixel that no network here exceeds: what is small even so need not be measured."""

WORKSPACE = 1.3
"""What convolutions take beside the tensors that are counted."""


def free_memory(device: torch.device) -> int:
    """Bytes that can still be allocated on the device, as far as the system reports."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + cached
    if device.type == "mps":
        return max(0, torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    limits = [limit for limit in (_available(), _group_limit(), _process_limit()) if limit is not None]
    return min(limits, default=UNKNOWN)


def usable_memory(device: torch.device, *, tile: bool) -> float:
    """Bytes that a forward may take by what is free now, of a whole picture or of a ``tile``."""
    free = free_memory(device)
    if device.type == "cuda":
        return min(0.8 * free, 8 * GIB if tile else math.inf)
    return min(0.5 * free, LARGEST_TILE if tile else 16 * GIB)


class _Live(TorchDispatchMode):
    """Counts the bytes of the tensors that are alive at once."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, Tensor):
                self._see(tensor.untyped_storage())
        return result

    def _see(self, storage: UntypedStorage) -> None:
        key, size = storage.data_ptr(), storage.nbytes()
        if key in self._known or not size:
            return
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def footprint(run: Callable[[], object], pixels: int) -> float:
    """Bytes of tensors per pixel that ``run`` needs, measured on a small picture of so many ``pixels``.

    Weights that autocast converts count too, so that half precision is somewhat overestimated.
    """
    live = _Live()
    with live:
        run()
    return live.peak / pixels


def _available() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _group_limit() -> int | None:
    """What is left of the control group's limit (containers), version 2 or 1."""
    for limit, used, statistics in (
        ("memory.max", "memory.current", "memory.stat"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    ):
        top = Path("/sys/fs/cgroup")
        try:
            left = int((top / limit).read_text(encoding="ascii")) - int((top / used).read_text(encoding="ascii"))
            for line in (top / statistics).read_text(encoding="ascii").splitlines():
                if line.startswith(("inactive_file ", "total_inactive_file ")):
                    left += int(line.split()[1])  # cache that is given back on demand
            return max(0, left)
        except (OSError, ValueError):
            continue
    return None


def _process_limit() -> int | None:
    """What is left of ``ulimit -v``."""
    if sys.platform == "win32":
        return None
    try:
        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft == resource.RLIM_INFINITY:
            return None
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        return max(0, soft - pages * resource.getpagesize())
    except (OSError, ValueError, IndexError):
        return None
