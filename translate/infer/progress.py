"""What a long ``gantk infer`` reports on its way, and how it is stopped."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from translate.console import clock_time, current
from translate.errors import INTERRUPTED, InterruptedRunError
from translate.infer.summary import Summary

LONG, NOW_AND_THEN = 2.0, 60.0
"""Seconds after which the search for photos is reported, and between two lines that count the files of a long run."""


def counter(total: int, whose: str) -> Callable[[Summary], None]:
    """Report now and then how far a long run is, and how long it will take; to be called after each file."""
    start = last = time.monotonic()

    def on_the_way(summary: Summary) -> None:
        nonlocal last
        if (now := time.monotonic()) - last < NOW_AND_THEN:
            return
        last = now
        left = ""
        if (worked := summary.count - summary.skipped) and total > summary.count:
            left = f", {clock_time((now - start) / worked * (total - summary.count))} left"
        current().line(f"{summary.count:,} of {total:,} files{whose}, {summary.failed:,} failed{left}")

    return on_the_way


@contextmanager
def reported_if_long(line: str) -> Iterator[None]:
    """Report what goes on where it takes longer than a user waits without a word."""
    timer = threading.Timer(LONG, current().line, [line])
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


@contextmanager
def stoppable() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the work in order: the threads finish the files they are writing, nothing else begins."""
    main = threading.current_thread() is threading.main_thread()
    codes = {"stopped by": INTERRUPTED}

    def stop(number: int, frame: FrameType | None) -> None:
        codes["stopped by"] = 128 + number
        raise KeyboardInterrupt  # no `except Exception` on the way takes it for a photo's failure

    previous = signal.signal(signal.SIGTERM, stop) if main else None
    try:
        yield
    except KeyboardInterrupt:
        message = "stopped; finished results are whole, and the same command does the rest"
        raise InterruptedRunError(message, codes["stopped by"]) from None
    finally:
        if main:
            signal.signal(signal.SIGTERM, previous)
