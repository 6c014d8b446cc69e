"""Whether a photo kills the process that works on it, found out by a copy of the process."""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import torch

PATIENCE = 600.0
"""Seconds after which a copy that has not ended counts as dead."""

PROOF = 4
"""Deaths after which a photo is left out where no copy can be started."""

_POLL = 0.02


def can_fork(device: torch.device) -> bool:
    """Whether a copy of this process could compute on ``device``: a GPU's context does not survive a fork."""
    return sys.platform == "linux" and device.type == "cpu"


def survives(work: Callable[[], object], patience: float = PATIENCE) -> bool:
    """Whether a copy of this process outlives ``work``; an exception is no death. The work leaves nothing behind here.

    Whoever kills this process meanwhile kills no copy, so a copy's death proves that the work is the cause.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads and fork: as torch's loaders do, see _attempt
        child = os.fork()
    if child == 0:
        _attempt(work)
    end = time.monotonic() + patience
    try:
        while time.monotonic() < end:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                child = 0
                return status == 0
            time.sleep(_POLL)
        return False
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _attempt(work: Callable[[], object]) -> NoReturn:
    try:
        with suppress(OSError):  # if memory is short, the system is to kill the copy
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
        torch.set_num_threads(1)  # the threads of the pool were not copied; waiting for them would take for ever
        work()
    except BaseException:
        os._exit(0)
    os._exit(0)
