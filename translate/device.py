"""Which device, number format and memory layout a run uses."""

from __future__ import annotations

import ctypes
import os
import sys

import torch

from translate.errors import UsageError
from translate.settings import Precision

if sys.platform != "win32":
    import resource

AUTOCAST: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str, local_rank: int = 0, local_size: int = 1) -> torch.device:
    """``auto`` is CUDA, else MPS, else the CPU.

    Each of a machine's ``local_size`` processes has a CUDA device of its own. Raises ``UsageError`` where the named
    device is not there, on all processes alike.
    """
    if name == "auto" and not torch.cuda.is_available():
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, index = ("cuda" if name == "auto" else name).partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not (kind == "cuda" and index.isdigit())):
        raise UsageError(f"--device {name}: expected auto, cpu, cuda, cuda:N or mps")
    if kind == "cuda":
        count = torch.cuda.device_count()
        if not index and local_size > 1 and count < local_size:
            raise UsageError(f"--device {name}: {local_size} processes, but this machine has {count} CUDA device(s)")
        number = int(index) if index else local_rank
        if number >= count:
            raise UsageError(f"--device {name}: this machine has {count} CUDA device(s)")
        return torch.device("cuda", number)
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UsageError("--device mps: Metal is not available on this machine")
    return torch.device(kind)


def choose_precision(wanted: Precision, device: torch.device, *, bf16_proven: bool = False) -> Precision:
    """``auto`` is bf16 for what is ``bf16_proven``, on a CPU that computes it; else fp32.

    On other devices no whole runs were compared yet (bench/RESULTS.md). Raises ``UsageError`` for what a GPU lacks.
    """
    if wanted == "auto":
        return "bf16" if bf16_proven and device.type == "cpu" and _cpu_computes_bf16() else "fp32"
    if wanted == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise UsageError("--precision bf16: this GPU has no bfloat16; use fp16 or fp32")
    return wanted


def _cpu_computes_bf16() -> bool:
    """Whether there are instructions for it; without them it is slower than fp32."""
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def captures_graphs(device: torch.device) -> bool:
    """Whether a compiled phase can be recorded there and replayed without the host's launching each kernel."""
    return device.type == "cuda"


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h


def keep_freed_memory() -> bool:
    """Tell glibc's allocator to keep what is freed; whether it obeys. For a process that trains, on the CPU.

    A training step frees and takes the same gigabyte again and again. Given back to the kernel, it comes back page by
    page, each zeroed: a seventh of a translation step in bf16 (bench/RESULTS.md). Peak memory stays the same. Nothing
    happens on other C libraries than glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    # Versions of glibc that refuse a threshold above 32 MiB take that.
    large = mallopt(_M_MMAP_THRESHOLD, 1 << 30) or mallopt(_M_MMAP_THRESHOLD, 32 << 20)
    return bool(large and mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1))


def most_memory(device: torch.device) -> int:
    """The most bytes that were in use so far: on a GPU by tensors, else by the process; 0 where unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def set_determinism(deterministic: bool) -> None:
    """Refuse operations that may differ between runs, or let cuDNN look for the fastest ones."""
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if torch.are_deterministic_algorithms_enabled() != deterministic:  # setting it imports half of torch
        torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory ran out; torch's CPU allocator raises a plain ``RuntimeError``."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "not enough memory" in text or "allocate memory" in text or "out of memory" in text
    )
