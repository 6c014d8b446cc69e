"""Everything that only a GPU can answer, in one run of at most 30 minutes, as Markdown and as lines of JSON.

    python bench/gpu.py --json gpu.jsonl > gpu.md
    python bench/gpu.py --data DATA --features WEIGHTS --json gpu.jsonl > gpu.md  # and bf16 over whole runs
    python bench/gpu.py --smoke                                  # everything at its smallest, on the CPU

Each question runs other scripts of bench/, or ``gantk train`` on generated pictures, in processes of their own; one
that fails or takes too long is named, and the others still run. Exit code 1 where one did not end well.

A bare machine has Python 3.12, torch 2.11 and torchvision 0.26 (builds for CUDA), and no kornia, albumentations,
tifffile, imagecodecs or scipy. Carry the wheels of pytest, of the build backend, of what pyproject.toml lists besides
torch and torchvision, and of those five that the tests import. Fetch them where there is a network:

    pip download --only-binary=:all: --no-deps --python-version 3.12 -d wheels PACKAGE...
    pip install --no-index --no-deps wheels/*.whl && pip install --no-deps --no-build-isolation -e .
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from tables import add_json, append, tell_machine

from infer import draw
from translate.device import choose_device

HERE = Path(__file__).resolve().parent
Command = list[str]

TIMED = ("cyclegan", "pix2pix", "dcgan", "srgan", "esrgan", "gan")
"""The models whose step is timed: all would take longer than half an hour."""


def script(name: str, *words: object) -> Command:
    return [sys.executable, str(HERE / f"{name}.py"), *map(str, words)]


def gantk_train(photos: Path, out: Path, steps: int, *words: object) -> Command:
    command = [sys.executable, "-m", "translate", "train", "gan", "--images", photos, "--size", 28, "--steps", steps]
    return [str(word) for word in [*command, "--batch", 4, "--out", out, *words]]


def questions(given: argparse.Namespace, work: Path) -> Iterator[tuple[str, Command]]:
    """Titles and commands, the cheapest first."""
    smoke = given.smoke
    device = "cpu" if smoke else "cuda"
    photos = work / "photos"
    steps = 2 if smoke else 2000
    if not smoke:
        yield "tests", [sys.executable, "-m", "pytest", "-m", "gpu", str(HERE.parent / "tests")]
    for cache in ["memory"] if smoke else ["memory", "device"]:
        words = ("--device", device, "--cache", cache)
        yield f"cache {cache}", gantk_train(photos, work / f"cache_{cache}", steps, *words)
    for name in "first", "second":
        words = ("--device", device, "--deterministic")
        yield f"deterministic, {name} run", gantk_train(photos, work / name, steps, *words)
    yield "half a run", gantk_train(photos, work / "resumed", steps // 2, "--device", device, "--deterministic")
    words = ("--device", device, "--deterministic", "--resume")
    yield "the other half, resumed", gantk_train(photos, work / "resumed", steps, *words)
    least = ("--batch", 2, "--rounds", 1) if smoke else ("--memory",)
    for model in ["gan"] if smoke else TIMED:
        sizes = ("--sizes", 256) if model in {"cyclegan", "pix2pix"} else ()
        precisions = ("--precisions", "fp32") if smoke else ("--precisions", "fp32", "bf16")
        for mode in [()] if smoke else [(), ("--compile",)]:
            words = (*sizes, *precisions, *least, *mode, "--device", device)
            yield f"training step, {model} {' '.join(mode)}".strip(), script("train", model, *words, *log(given))
    side = ("--side", 32, "--count", 1, "--rounds", 1) if smoke else ("--side", 512, "--count", 64)
    yield "folder inference", script("infer", *side, "--device", device, *log(given))
    if not smoke:
        yield "one large photo", script("infer", "--megapixels", 50, "--device", device, *log(given))
    if given.data:
        words = ("--features", given.features, *log(given))
        words += ("--data", given.data, "--work", work / "precision", "--device", device, "--steps", steps)
        yield "bf16 against fp32 over whole runs", script("precision", "pix2pix", *words)


def log(given: argparse.Namespace) -> tuple[str, ...]:
    return ("--json", str(given.json)) if given.json else ()


def answer(title: str, command: Command, limit: float) -> bool:
    """Run one command and print it with its output; whether it ended well."""
    began = time.perf_counter()
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=limit)
        text, code = done.stdout, str(done.returncode)
    except subprocess.TimeoutExpired:
        text, code = "", f"none: stopped after {limit:.0f} s"
    print(f"\n## {title}\n\n`{shlex.join(command)}`\n\n```\n{text.strip()[-4000:]}\n```\n")
    print(f"exit code {code}, {time.perf_counter() - began:.1f} s", flush=True)
    return code == "0"


def same_weights(first: Path, second: Path) -> bool:
    """Whether two runs published the same bytes."""
    files = [run / "model.safetensors" for run in (first, second)]
    return all(file.is_file() for file in files) and files[0].read_bytes() == files[1].read_bytes()


def waiting(run: Path) -> list[float]:
    """The shares of the time that a run waited for data, as its metrics have them."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [record["waiting"] for record in map(json.loads, lines) if "waiting" in record]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="everything at its smallest, on the CPU")
    parser.add_argument("--data", type=Path, help="folder of facades/, as bench/precision.py takes it")
    parser.add_argument("--features", type=Path, help="with --data: weights, as bench/precision.py takes them")
    parser.add_argument("--minutes", type=float, default=30, help="most minutes for everything")
    add_json(parser)
    given = parser.parse_args()
    if (given.data is None) != (given.features is None):
        parser.error("--data and --features: expected both or neither")
    if not given.smoke and not torch.cuda.is_available():
        parser.error("no CUDA device: --smoke runs everything at its smallest on the CPU")
    device = choose_device("cpu" if given.smoke else "cuda")
    tell_machine(device)
    end = time.monotonic() + 60 * given.minutes
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "photos").mkdir()
        draw(work / "photos", 8, 32, 32, ".png")
        for title, command in questions(given, work):
            good = answer(title, command, max(1.0, min(300.0, end - time.monotonic())))
            failed += [] if good else [title]
            append(given.json, "gpu", {"title": title, "command": shlex.join(command), "good": good}, device)
        for run in sorted(work.glob("cache_*/metrics.jsonl")):
            print(f"\nwaiting share, {run.parent.name}: {waiting(run.parent)}")
        for name, what in ("second", "Two runs with --deterministic"), ("resumed", "Resumed halfway"):
            same = same_weights(work / "first", work / name)
            print(f"\n{what}: {'the same bytes' if same else 'NOT the same bytes'}")
            failed += [] if same else [f"the same bytes, {name}"]
    if failed:
        print(f"\nDid not end well: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
