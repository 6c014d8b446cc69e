"""How much may be between reading and writing at once."""

from __future__ import annotations

import threading


class Gate:
    """Admits what is decoded ahead, in order, as long as its pixels fit into a budget (or nothing else is inside)."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._inside = 0
        self._next = 0
        self._changed = threading.Condition()
        self._open = True

    def enter(self, ticket: int, pixels: int) -> bool:
        """Wait for this ticket's turn and for room; False where the gate was closed meanwhile.

        Tickets count from 0, and each must enter (with 0 pixels if need be).
        """
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    not self._open
                    or (ticket == self._next and (not self._inside or self._inside + pixels <= self._budget))
                )
            )
            self._next += 1
            self._inside += pixels
            self._changed.notify_all()
            return self._open

    def leave(self, pixels: int) -> None:
        """Give the pixels back."""
        with self._changed:
            self._inside -= pixels
            self._changed.notify_all()

    def close(self) -> None:
        """Let everybody go."""
        with self._changed:
            self._open = False
            self._changed.notify_all()
