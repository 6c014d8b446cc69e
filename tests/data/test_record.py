"""What a resumed run says of its data."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from translate.data.record import changes, record
from translate.data.unpaired import Unpaired


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in ("a/1.png", "a/deep/2.png", "b/1.png", "c/1.png"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 2000)
    return tmp_path / "data"


def of(data: Path) -> dict[str, str]:
    return record(Unpaired(a=(data / "a", data / "c"), b=(data / "b",)))


def test_folders_that_move_have_not_changed(data: Path) -> None:
    before = of(data)
    assert set(before) == {"a/1.png", "a/deep/2.png", "a1/1.png", "b/1.png"}
    moved = data.with_name("elsewhere")
    shutil.move(data, moved)
    assert changes(before, of(moved)) == []


def test_added_removed_and_replaced_files_are_named(data: Path) -> None:
    before = of(data)
    (data / "a/1.png").unlink()
    for number in range(5):
        (data / f"b/new{number}.png").touch()
    (data / "b/1.png").write_bytes(b"X" + (data / "b/1.png").read_bytes()[1:])  # of the same size
    with (data / "c/1.png").open("ab") as file:  # of the same beginning
        file.write(b"more")
    assert changes(before, of(data)) == [
        "the data have changed: 5 files (b/new0.png, b/new1.png, b/new2.png, ...) added",
        "the data have changed: 1 file (a/1.png) removed",
        "the data have changed: 2 files (a1/1.png, b/1.png) replaced",
    ]
