"""How long help pages and mistakes take, with twenty third-party plugins installed: medians, beside a bare interpreter.

Processor seconds hold on a busy machine too.

python bench/startup.py [--runs 9]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tables import add_json, append, row, spread, take_turns, tell_machine

PLUGINS = 20
MODULE = "import torch\nraise SystemExit('imported')\n"


@dataclass(frozen=True)
class Command:
    """What is started. ``anew``: with an empty temporary folder, where a model's flags would be kept."""

    words: tuple[str, ...]
    code: int = 0
    anew: bool = False


def gantk(words: str, code: int = 0, *, anew: bool = False) -> Command:
    return Command(("-m", "translate", *words.split()), code, anew)


COMMANDS = {
    "python -c pass": Command(("-c", "pass")),
    "python -c 'import torch'": Command(("-c", "import torch")),
    "gantk --help": gantk("--help"),
    "gantk plugins": gantk("plugins"),
    "gantk train --help": gantk("train --help"),
    "gantk train cyclegan --help, the first time": gantk("train cyclegan --help", anew=True),
    "gantk train cyclegan --help": gantk("train cyclegan --help"),
    "gantk train cyclegan --wrong": gantk("train cyclegan --wrong", 2),
    "gantk train cyclegan --a A --b B --lr 0": gantk("train cyclegan --a A --b B --lr 0", 2),
    "gantk infer --help": gantk("infer --help"),
    "gantk infer none x --out y": gantk("infer none x --out y", 2),
    "gantk sample none --out y": gantk("sample none --out y", 2),
    "gantk evaluate none --against x": gantk("evaluate none --against x", 2),
    "gantk export none --out x": gantk("export none --out x", 2),
    "gantk inspect none": gantk("inspect none", 2),
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


def start(command: Command, path: Path, processor: list[float]) -> None:
    environment = {**os.environ, "PYTHONPATH": str(path)}
    with tempfile.TemporaryDirectory() as empty:
        if command.anew:
            environment["TMPDIR"] = empty
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, *command.words], env=environment, capture_output=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != command.code:
        raise SystemExit(done.stderr.decode())
    processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


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
        cases = {(name, count): (COMMANDS[name], path) for name in COMMANDS for count, path in paths.items()}
        processor: dict[tuple[str, int], list[float]] = {case: [] for case in cases}
        times = take_turns({case: partial(start, *cases[case], processor[case]) for case in cases}, given.runs)
    widths = (44, 24, 24, 18, 18)
    heads = ("no stranger", f"{PLUGINS} strangers", "processor", "processor")
    row((f"s, {given.runs} runs each", *heads), widths)
    for name in COMMANDS:
        medians = (f"{statistics.median(processor[name, count][-given.runs :]):.3f}" for count in paths)
        row((name, *(spread(times[name, count]) for count in paths), *medians), widths)
    for (name, count), seconds in times.items():
        used = processor[name, count][-given.runs :]
        result = {"command": name, "strangers": count, "seconds": seconds, "processor_seconds": used}
        append(given.json, "startup", result)
    tell_machine()


if __name__ == "__main__":
    main()
