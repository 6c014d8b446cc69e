"""Signals to a run: Ctrl-C, SIGTERM and a closed terminal stop it after a step, SIGUSR1 has it save and continue."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopSignal:
    """Ctrl-C, SIGTERM and SIGHUP stop the run after the current step; a second Ctrl-C does not wait.

    SIGUSR1, which SLURM sends before a time limit, has the run save and continue.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._save = False

    def take_save(self) -> bool:
        """Whether a save was requested since the last call."""
        wanted, self._save = self._save, False
        return wanted

    @property
    def received(self) -> bool:
        return self.number is not None

    @property
    def exit_code(self) -> int:
        return 128 + (self.number or signal.SIGTERM)

    @contextmanager
    def listening(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = [signal.SIGINT, signal.SIGTERM]
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.append(signal.SIGHUP)  # under nohup it is ignored, and stays so
        before = {number: signal.signal(number, self._note) for number in numbers}
        if hasattr(signal, "SIGUSR1"):
            before[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, self._note_save)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note_save(self, number: int, frame: FrameType | None) -> None:
        self._save = True

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = number
