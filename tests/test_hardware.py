"""What a process tells its machine."""

import ctypes
import subprocess
import sys

import pytest

# Takes and frees blocks as large as a training step's tensors; prints what stays with the process, in MiB.
PROGRAM = """
import ctypes, sys
from pathlib import Path
from translate.hardware import keep_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
obeyed = keep_freed_memory() if sys.argv[1] == "keep" else None
before = resident()
blocks = [libc.malloc(100 << 20) for _ in range(2)]
for block in blocks:
    ctypes.memset(block, 1, 100 << 20)
taken = resident() - before
for block in reversed(blocks):
    libc.free(ctypes.c_void_p(block))
print(obeyed, taken, resident() - before)
"""


GLIBC = sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt")


@pytest.mark.skipif(not GLIBC, reason="glibc alone has mallopt")
def test_freed_memory_stays_where_it_is_asked_to():
    def left(word: str) -> list[str]:
        command = [sys.executable, "-c", PROGRAM, word]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.split()

    obeyed, taken, kept = left("keep")
    assert obeyed == "True"
    assert int(taken) >= 199
    assert int(kept) >= 199
    _, taken, kept = left("default")
    assert int(taken) >= 199
    assert int(kept) <= 10
