"""What an exception says, in one line."""

from __future__ import annotations

import pytest

from translate.errors import named_line, one_line


@pytest.mark.parametrize(
    ("error", "line", "named"),
    [
        (ValueError("odd\n  thing"), "odd thing", "ValueError: odd thing"),
        (EOFError(), "EOFError", "EOFError"),
        (RuntimeError("x" * 500), "x" * 300, "RuntimeError: " + "x" * 286),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), None, None),
    ],
)
def test_one_line(error: Exception, line: str | None, named: str | None) -> None:
    assert "\n" not in one_line(error)
    assert line is None or one_line(error) == line
    assert named is None or named_line(error) == named
