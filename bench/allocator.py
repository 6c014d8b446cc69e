"""glibc's allocator as a fresh process has it, and as `gantk train` sets it, to switch between in one process."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch

from translate.device import keep_freed_memory

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h

FRESH_MMAP, FRESH_TRIM = 32 << 20, 64 << 20
"""The ceiling of glibc's dynamic thresholds (mallopt(3)), where they soon are in a process that frees large blocks."""


@contextmanager
def taking_turns(device: torch.device) -> Iterator[Mapping[str, Callable[[], object]]]:
    """What to call before a step of the reference and of ours; nothing where there is no such setting."""
    if device.type != "cpu" or not keep_freed_memory():
        yield {}
        return
    try:
        yield {"reference": forget, "ours": keep_freed_memory}
    finally:
        forget()


def forget() -> None:
    """The thresholds of a fresh process, and none of the memory that was kept without them."""
    libc = ctypes.CDLL(None)
    if not (libc.mallopt(M_MMAP_THRESHOLD, FRESH_MMAP) and libc.mallopt(M_TRIM_THRESHOLD, FRESH_TRIM)):
        raise OSError("mallopt refused the thresholds of a fresh process")
    libc.malloc_trim(0)
