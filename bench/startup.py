"""How long ``gantk --help`` takes, with twenty third-party plugins installed: medians, beside a bare interpreter.

python bench/startup.py [--runs 9]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PLUGINS = 20
MODULE = "import torch\nraise SystemExit('imported')\n"
COMMANDS = {
    "python -c pass": ("-c", "pass"),
    "gantk --help": ("-m", "translate", "--help"),
    "gantk plugins": ("-m", "translate", "plugins"),
    "gantk train --help": ("-m", "translate", "train", "--help"),
}


def install(folder: Path, count: int) -> None:
    """Put plugins into a folder that must not be imported: each would fail."""
    for index in range(count):
        name = f"bench_stranger_{index}"
        about = folder / f"{name}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
        (about / "entry_points.txt").write_text(f"[gantk.models]\n{name} = {name}:Model\n", encoding="utf-8")
        (folder / f"{name}.py").write_text(MODULE, encoding="utf-8")


def seconds(words: tuple[str, ...], path: Path) -> float:
    """Wall time of one run."""
    environment = {**os.environ, "PYTHONPATH": str(path)}
    start = time.perf_counter()
    subprocess.run([sys.executable, *words], env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main() -> None:
    """Measure, the commands taking turns so that a busy moment hits them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        few, many = Path(folder, "few"), Path(folder, "many")
        for path, count in ((few, 0), (many, PLUGINS)):
            path.mkdir()
            install(path, count)
        times: dict[tuple[str, int], list[float]] = {}
        for turn in range(runs + 1):
            for name, words in COMMANDS.items():
                for path, count in ((few, 0), (many, PLUGINS)):
                    taken = seconds(words, path)
                    if turn:  # the first one fills caches
                        times.setdefault((name, count), []).append(taken)
    print(f"{'median of ' + str(runs) + ' runs':22}  no stranger  {PLUGINS} strangers")
    for name in COMMANDS:
        alone, together = (statistics.median(times[name, count]) for count in (0, PLUGINS))
        print(f"{name:22}  {alone:9.3f} s  {together:10.3f} s")


if __name__ == "__main__":
    main()
