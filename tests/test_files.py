"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from translate import files
from translate.errors import UsageError
from translate.files import make_folder, remove_leftovers, write_text_whole, write_whole
from translate.training import folder


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text_whole(path, "old\n")

    def fail(temporary: Path) -> None:
        temporary.write_text("half", encoding="utf-8")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(path, fail)
    assert path.read_bytes() == b"old\n"
    assert list(tmp_path.iterdir()) == [path]


def test_the_longest_name_has_a_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 127)  # 254 bytes
    write_text_whole(path, "text")
    assert path.read_text(encoding="utf-8") == "text"


def test_a_folder_for_results_is_tried_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_folder(tmp_path / "new" / "deep", "--out x")
    make_folder(tmp_path / "new" / "deep", "--out x")
    assert list((tmp_path / "new" / "deep").iterdir()) == []
    (tmp_path / "file").touch()
    for way in (tmp_path / "file", tmp_path / "file" / "deep"):
        with pytest.raises(UsageError, match=r"--out x: a file is in the way; expected a folder"):
            make_folder(way, "--out x")
    with pytest.raises(UsageError, match=r"--out .*run: a file is in the way"):
        folder.make(tmp_path / "file" / "run", "")

    def refuse(**where: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files.tempfile, "TemporaryFile", refuse)
    with pytest.raises(UsageError, match=r"--out x: cannot be written to \(permission denied\)"):
        make_folder(tmp_path, "--out x")


@pytest.mark.parametrize("call", ["open", "fsync"])
def test_a_folder_that_cannot_be_synced_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    real = getattr(os, call)

    def refuse(what: object, *rest: int) -> object:
        if what == tmp_path or (isinstance(what, int) and stat.S_ISDIR(os.fstat(what).st_mode)):
            raise OSError(errno.EINVAL, "Invalid argument")
        return real(what, *rest)

    monkeypatch.setattr(files.os, call, refuse)
    write_text_whole(tmp_path / "file.txt", "text")
    assert [p.read_text(encoding="utf-8") for p in tmp_path.iterdir()] == ["text"]


def test_leftovers_of_a_killed_process_go(tmp_path: Path) -> None:
    (tmp_path / ".12345678.1.part").write_bytes(b"half")
    (tmp_path / ".hidden").write_bytes(b"mine")
    remove_leftovers(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [".hidden"]
