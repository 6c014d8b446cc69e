"""Patterns that name several folders or archives."""

from __future__ import annotations

from pathlib import Path

import pytest

from translate.errors import UsageError
from translate.places import expanded


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("{08..11}.tar", ["08.tar", "09.tar", "10.tar", "11.tar"]),
        ("{8..10}.tar", ["8.tar", "9.tar", "10.tar"]),
        ("{2..0}.tar", ["2.tar", "1.tar", "0.tar"]),
        ("{x,y}-{0..1}", ["x-0", "x-1", "y-0", "y-1"]),
        ("{a}.tar", ["{a}.tar"]),
        ("plain", ["plain"]),
    ],
)
def test_braces_are_those_of_a_shell(tmp_path: Path, pattern: str, names: list[str]) -> None:
    assert expanded("--a", tmp_path / pattern) == [tmp_path / name for name in names]


def test_stars_find_what_is_there_in_order_and_braces_go_with_them(tmp_path: Path) -> None:
    for name in ("b1", "a2", "a1", "c1"):
        (tmp_path / name).mkdir()
    assert expanded("--a", tmp_path / "a*") == [tmp_path / "a1", tmp_path / "a2"]
    assert expanded("--a", tmp_path / "{b,a}[12]") == [tmp_path / name for name in ("b1", "a1", "a2")]


def test_a_name_that_exists_is_no_pattern(tmp_path: Path) -> None:
    odd = tmp_path / "x{0..3}[a]*"
    odd.mkdir()
    assert expanded("--a", odd) == [odd]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("z*.tar", r"--a \S*z\*\.tar: there is nothing of such a name"),
        ("{0..999999999}", "more than"),
        ("{0..9999}{0..9999}", "more than"),
    ],
)
def test_what_names_nothing_or_too_much_is_refused(tmp_path: Path, pattern: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        expanded("--a", tmp_path / pattern)
