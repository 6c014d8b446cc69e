"""Streams that are closed, full or left: no traceback, a documented exit code, and the work is done."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a shell and /dev/full")


def shell(line: str) -> subprocess.CompletedProcess[str]:
    command = line.replace("gantk", f"{sys.executable} -m translate")
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.parametrize("words", ["--version", "plugins", "plugins --json", "--help", "train --help"])
def test_a_full_disk_behind_stdout_is_one_line_and_exit_1(words: str) -> None:
    result = shell(f"gantk {words} > /dev/full")
    assert result.returncode == 1
    assert result.stderr.startswith("gantk: error: [Errno 28] No space left on device")
    assert result.stderr.count("\n") == 1


def test_an_error_is_reported_though_stdout_is_full() -> None:
    result = shell("gantk --json train nothing > /dev/full")
    assert result.returncode == 2
    assert result.stderr.startswith("gantk: error: no model is named 'nothing'")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("stream", ["2> /dev/full", "2>&-", "> /dev/null 2>&- <&-"])
def test_text_that_nobody_can_read_changes_no_exit_code(stream: str) -> None:
    assert shell(f"gantk train nothing {stream}").returncode == 2
    assert shell(f"gantk plugins {stream}").returncode == 0


def test_a_closed_stdout_is_nobody_who_listens() -> None:
    result = shell("gantk plugins >&-")
    assert (result.returncode, result.stderr) == (0, "")


def test_what_is_written_to_a_closed_stream_goes_into_no_file(tmp_path: Path) -> None:
    code = (
        "import os, sys; from translate.__main__ import _fill_closed_streams as fill; fill(); "
        "f = open('mine', 'w'); os.write(2, b'noise'); f.close()"
    )
    subprocess.run(["bash", "-c", f'{sys.executable} -c "{code}" 2>&-'], cwd=tmp_path, check=True, timeout=100)
    assert (tmp_path / "mine").stat().st_size == 0


def test_a_reader_that_leaves_is_no_failure() -> None:
    for words in ("plugins --json", "train cyclegan --help"):
        result = shell(f"set -o pipefail; gantk {words} | true")
        assert (result.returncode, result.stderr) == (0, "")
