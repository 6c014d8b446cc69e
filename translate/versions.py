"""Versions of distributions, as far as files care."""

from __future__ import annotations

import re

_NUMBERS = re.compile(r"v?(?:\d+!)?(\d+)(?:\.(\d+))?")


def is_newer(version: str, than: str) -> bool:
    """Whether a version may write what the other cannot read: one of the first two numbers is larger.

    Later numbers are those of corrections. What has no numbers is newer than nothing.
    """
    one, other = _NUMBERS.match(version), _NUMBERS.match(than)
    if one is None or other is None:
        return False
    return _pair(one) > _pair(other)


def _pair(match: re.Match[str]) -> tuple[int, int]:
    return int(match[1]), int(match[2] or 0)
