"""What the console reports, as a test reads it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from translate.console import Console, using


def listening(
    lines: list[str] | None = None, records: Callable[[Any], object] = lambda record: None
) -> AbstractContextManager[None]:
    """Append every line for people to ``lines``, and call ``records`` with every record, in place of printing them."""
    return using(Console(lines=([] if lines is None else lines).append, records=records))
