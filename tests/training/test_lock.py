"""One writer for a run folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from translate.errors import UsageError
from translate.owner import Owner, current
from translate.training.lock import LOCK, locked, read


def held_by(folder: Path, owner: Owner) -> None:
    (folder / LOCK).write_text(json.dumps(asdict(owner)), encoding="utf-8")


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_second_writer_is_refused_and_named(tmp_path: Path) -> None:
    with locked(tmp_path):
        assert read(tmp_path / LOCK) == current()
        with pytest.raises(UsageError, match=rf"process {os.getpid()} on .* is training in it"), locked(tmp_path):
            pass
        assert read(tmp_path / LOCK) == current()
    assert list(tmp_path.iterdir()) == []


def test_a_dead_owner_loses_it(tmp_path: Path) -> None:
    held_by(tmp_path, replace(current(), pid=dead_process()))
    with locked(tmp_path):
        assert read(tmp_path / LOCK) == current()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system does not say when a process began")
def test_a_number_that_was_used_again_is_another_process(tmp_path: Path) -> None:
    held_by(tmp_path, replace(current(), began="1"))
    with locked(tmp_path):
        assert read(tmp_path / LOCK) == current()


def test_another_machine_keeps_it_unless_it_is_taken_over(tmp_path: Path) -> None:
    other = replace(current(), host="elsewhere", pid=dead_process())
    held_by(tmp_path, other)
    hint = "on elsewhere is training in it; if it has ended, --take-over"
    with pytest.raises(UsageError, match=hint), locked(tmp_path):
        pass
    assert read(tmp_path / LOCK) == other
    with locked(tmp_path, take_over=True):
        assert read(tmp_path / LOCK) == current()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"pid": 1}', '{"host": "h", "space": "", "pid": 1e999, "began": ""}']
)
def test_a_damaged_lock_holds_nobody_up(content: str, tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text(content, encoding="utf-8")
    with locked(tmp_path):
        assert read(tmp_path / LOCK) == current()
