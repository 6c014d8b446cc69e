"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from translate import files, owner
from translate.errors import UsageError
from translate.files import make_folder, remove_leftovers, write_folder_whole, write_text_whole, write_whole
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


def test_a_file_is_not_replaced_unless_it_may_be(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("first", encoding="utf-8")
    with pytest.raises(FileExistsError):
        write_whole(path, lambda temporary: temporary.write_text("second", encoding="utf-8"), replace=False)
    assert path.read_text(encoding="utf-8") == "first"
    assert list(tmp_path.iterdir()) == [path]
    assert write_whole(path, lambda temporary: temporary.write_text("second", encoding="utf-8")) == len("second")


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        assert not (tmp_path / "new").exists()
        write_text_whole(folder / "file", "text")

    def fail(folder: Path) -> None:
        (folder / "deep").mkdir()
        write_text_whole(folder / "deep" / "file", "text")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_folder_whole(tmp_path / "new", fail)
    assert list(tmp_path.iterdir()) == []
    write_folder_whole(tmp_path / "new", write)
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "file"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_modes_are_those_of_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_folder_whole(tmp_path / "new", lambda folder: write_text_whole(folder / "file", "text"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o750
    assert stat.S_IMODE((tmp_path / "new" / "file").stat().st_mode) == 0o640


def test_leftovers_of_a_killed_process_go(tmp_path: Path, killed_writer: Callable[..., Path]) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / ".hidden").write_bytes(b"mine")
    (tmp_path / ".12345678.1.part").write_bytes(b"of another program")
    killed_writer(tmp_path / "file")
    killed_writer(tmp_path / "folder", "folder")
    below = killed_writer(tmp_path / "deep" / "file")
    remove_leftovers(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {".hidden", ".12345678.1.part", "deep"}
    assert below.exists()
    remove_leftovers(tmp_path, below=True)
    assert list((tmp_path / "deep").iterdir()) == []


def test_what_a_living_process_writes_stays(tmp_path: Path) -> None:
    def look(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        remove_leftovers(tmp_path)
        assert list(tmp_path.iterdir()) == [temporary]

    write_whole(tmp_path / "file", look)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("elsewhere", [{"host": "elsewhere"}, {"space": "pid:[1]"}])
def test_what_a_process_out_of_sight_may_still_write_stays_for_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: dict[str, str]
) -> None:
    other = replace(owner.current(), pid=2**30, **elsewhere)
    with monkeypatch.context() as there:
        there.setattr(owner, "current", lambda: other)
        left = files.temporary_beside(tmp_path / "folder")
    left.mkdir()
    (left / "file").write_bytes(b"half")
    yesterday = time.time() - 25 * 3600
    os.utime(left, (yesterday, yesterday))
    remove_leftovers(tmp_path)
    assert left.exists()
    os.utime(left / "file", (yesterday, yesterday))
    remove_leftovers(tmp_path)
    assert not left.exists()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system does not say when a process began")
def test_a_leftover_of_an_equal_process_number_is_in_nobodys_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = replace(owner.current(), began="1")
    with monkeypatch.context() as then:
        then.setattr(owner, "current", lambda: earlier)
        then.setattr(files, "_numbers", count())
        files.temporary_beside(tmp_path / "new").mkdir()
    monkeypatch.setattr(files, "_numbers", count())
    write_folder_whole(tmp_path / "new", lambda folder: write_text_whole(folder / "file", "text"))
    assert (tmp_path / "new" / "file").exists()
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system does not say what a process waits for")
def test_a_killed_process_whose_parent_did_not_notice_is_dead(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        alive = replace(owner.current(), pid=process.pid, began=owner._began(process.pid))
        assert alive.alive()
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert alive.alive() is False
    finally:
        process.communicate()


def test_a_killed_start_of_a_run_does_not_block_the_next(tmp_path: Path, killed_writer: Callable[..., Path]) -> None:
    (tmp_path / "mounted").mkdir()
    killed_writer(tmp_path / "mounted" / folder.CONFIG)
    killed_writer(tmp_path / "new", "folder")
    for out in (tmp_path / "mounted", tmp_path / "new"):
        folder.check_free(out)
        folder.make(out, "")
        assert [path.name for path in out.iterdir()] == [folder.CONFIG]
    assert {path.name for path in tmp_path.iterdir()} == {"mounted", "new"}


def test_a_resumed_run_clears_its_folders(tmp_path: Path, killed_writer: Callable[..., Path]) -> None:
    folder.make(tmp_path / "run", "")
    places = [tmp_path / "run" / name for name in (folder.CHECKPOINTS, folder.PREVIEWS)]
    for place in places:
        place.mkdir()
    left = [killed_writer(place / "file") for place in (tmp_path / "run", *places)]
    folder.reopen(tmp_path / "run", "x = 1\n")
    assert not any(path.exists() for path in left)


def test_every_command_clears_the_folder_that_it_writes_to(tmp_path: Path, killed_writer: Callable[..., Path]) -> None:
    killed_writer(tmp_path / "grid.png")
    make_folder(tmp_path, "--grid grid.png")
    assert list(tmp_path.iterdir()) == []
