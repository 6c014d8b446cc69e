"""What the benches share: taking turns, peak memory, medians, tables, and results as lines of JSON."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    import torch

P = ParamSpec("P")
T = TypeVar("T")
MIB = 1 << 20


def take_turns(
    runs: Mapping[T, Callable[[], object]],
    rounds: int,
    device: torch.device | None = None,
    warmup: int = 1,
    before: Mapping[T, Callable[[], object]] | None = None,
) -> dict[T, list[float]]:
    """Seconds of each run in each round. All run once per round, so that a busy moment of the machine hits them all;
    the first ``warmup`` rounds do not count. ``before``: a setting of a run's own; after it, the run is made once more,
    which does not count."""
    before = before or {}
    times: dict[T, list[float]] = {name: [] for name in runs}
    for turn in range(warmup + rounds):
        for name, run in runs.items():
            if name in before:
                before[name]()
                run()
            began = time.perf_counter()
            run()
            if device is not None and device.type == "cuda":
                import torch

                torch.cuda.synchronize(device)
            if turn >= warmup:
                times[name].append(time.perf_counter() - began)
    return times


def alone(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """``function``'s result from a new process that does nothing else: for its peak memory, and for a cold start."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(function, *args, **kwargs).result()


def peak_bytes(device: torch.device | None = None) -> int:
    """The most memory that this process, or its part of a GPU, has had so far."""
    if device is not None and device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage: on Linux a new program inherits its parent's ru_maxrss.
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def spread(values: Sequence[float], digits: int = 3, scale: float = 1.0) -> str:
    """Median, lowest and highest."""
    low, middle, high = (scale * of(values) for of in (min, statistics.median, max))
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def growth(costs: Sequence[float], work: Sequence[float]) -> list[str]:
    """Cost per unit of work, relative to the first: above 1 is worse than linear."""
    rates = [cost / amount for cost, amount in zip(costs, work, strict=True)]
    return [f"{rate / rates[0]:.2f}" if rates[0] else "-" for rate in rates]


def row(cells: Iterable[object], widths: Sequence[int]) -> None:
    """Print one line of a table: the first cell to the left, the others to the right."""
    first, *others = (f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells)
    rest = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
    print(first.ljust(widths[0]), *rest, flush=True)


def machine(device: torch.device | None = None) -> dict[str, object]:
    """What a figure was measured on."""
    import torch

    name = platform.processor() or platform.machine()
    about = Path("/proc/cpuinfo")
    if about.exists():
        models = [line for line in about.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        name = models[0].partition(":")[2].strip() if models else name
    name += f", {torch.backends.cpu.get_cpu_capability()}"
    if device is not None and device.type == "cuda":
        name += f", {torch.cuda.get_device_name(device)}"
    return {"machine": name, "torch": torch.__version__, "threads": torch.get_num_threads()}


def tell_machine(device: torch.device | None = None) -> None:
    """Print what the table above was measured on."""
    about = machine(device)
    print(f"{about['machine']}; torch {about['torch']}, {about['threads']} threads")


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, help="file to append the results to, one line of JSON each")


def append(file: Path | None, bench: str, result: Mapping[str, object], device: torch.device | None = None) -> None:
    """Add one result to ``--json``'s file, where there is one."""
    if file is not None:
        with file.open("a", encoding="utf-8") as out:
            out.write(json.dumps({"bench": bench, **result, **machine(device)}, default=str) + "\n")
