"""Which files may be pictures, by their names."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from listening import listening
from translate.contract import Loading
from translate.data.images import Images
from translate.data.listing import describe, find_images, list_folders
from translate.errors import UsageError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_what_is_no_picture_by_its_name_is_counted(tmp_path: Path) -> None:
    touch(tmp_path, "1.png", "1.txt", "2.TXT", "labels.json", "@eaDir/1.png", "deep/$RECYCLE.BIN/2.png", "deep/2")
    touch(tmp_path, ".DS_Store", "Thumbs.db", "film.mp4")
    left_out: Counter[str] = Counter()
    assert [path.name for path in find_images(tmp_path, left_out=left_out)] == ["1.png", "2"]
    assert left_out == {".txt": 2, ".json": 1, "@eaDir/": 1, "$RECYCLE.BIN/": 1, ".mp4": 1}
    assert describe(left_out).startswith("left out by name: 2 files .txt, ")
    assert "1 folder @eaDir" in describe(left_out)


def test_it_is_no_fault_under_strict_data(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "1.png")
    touch(tmp_path, "1.txt", "@eaDir/1.png")
    lines: list[str] = []
    with listening(lines):
        assert len(Images(images=(tmp_path,)).open(Loading(size=8, strict=True))) == 1
    assert lines == [f"--images {tmp_path}: left out by name: 1 file .txt, 1 folder @eaDir"]


def test_wrong_folders_are_named_with_their_flag(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    touch(tmp_path, "file.png", "texts/1.txt")
    for name, reason in (
        ("missing", "no such folder"),
        ("file.png", "this is a file"),
        ("empty", "no images"),
        ("texts", "no images"),
    ):
        with pytest.raises(UsageError, match=reason) as error:
            list_folders("--a", [tmp_path / name])
        assert str(error.value).startswith(f"--a {tmp_path / name}: ")
    with pytest.raises(UsageError, match="--a: expected a folder"):
        list_folders("--a", [])
