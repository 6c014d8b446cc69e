"""Shared by all tests: threads, paths, the folder of real pictures."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def shared_data() -> Path:
    """Real pictures, which not every machine has."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared/data on this machine")
    return SHARED


_KILLED = """
import os, sys
from pathlib import Path
from translate.files import write_folder_whole, write_whole
write = write_folder_whole if sys.argv[2] == "folder" else write_whole
def die(temporary):
    (temporary / "half" if temporary.is_dir() else temporary).write_bytes(b"half")
    print(temporary, flush=True)
    os.kill(os.getpid(), 9)
write(Path(sys.argv[1]), die)
"""


@pytest.fixture
def killed_writer() -> Callable[..., Path]:
    """Kills a process while it writes a file, or a folder, and returns what it leaves half-written."""

    def kill(path: Path, kind: str = "file") -> Path:
        command = [sys.executable, "-c", _KILLED, str(path), kind]
        left = Path(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout.strip())
        assert left.parent == path.parent
        assert left.exists()
        return left

    return kill
