"""How long ``gantk --help`` takes, with twenty third-party plugins installed: medians, beside a bare interpreter.

python bench/startup.py [--runs 9]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from tables import add_json, append, row, spread, take_turns, tell_machine

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


def start(words: tuple[str, ...], path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(path)}
    subprocess.run([sys.executable, *words], env=environment, stdout=subprocess.DEVNULL, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    add_json(parser)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = {count: Path(folder, str(count)) for count in (0, PLUGINS)}
        for count, path in paths.items():
            path.mkdir()
            install(path, count)
        runs = {(name, n): partial(start, words, path) for name, words in COMMANDS.items() for n, path in paths.items()}
        times = take_turns(runs, given.runs)
    widths = (20, 24, 24)
    row((f"s, {given.runs} runs each", "no stranger", f"{PLUGINS} strangers"), widths)
    for name in COMMANDS:
        row((name, *(spread(times[name, count]) for count in paths)), widths)
    for (name, count), seconds in times.items():
        append(given.json, "startup", {"command": name, "strangers": count, "seconds": seconds})
    tell_machine()


if __name__ == "__main__":
    main()
