"""Kill ``gantk train`` and ``gantk infer`` at random moments, again and again, and compare what they end with.

A killed run is continued (``--resume``; the same ``infer`` command) until it is done, then begun anew. Its files must
be those of the run that nobody killed, byte for byte, with nothing left over. Each attempt is a fork of this process,
which has loaded all modules, so that the moments fall into the work. Exit code 1 where a file differs or is left over.

python bench/soak.py [--kills 250] [--seed 0]
"""

from __future__ import annotations

import argparse
import filecmp
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tables import add_json, append, row, tell_machine

PHOTOS = 10
TRAINING = (
    "--size 32 --width 4 --blocks 1 --steps 40 --save-every 7 --keep 2 --seed 1 --preview-every 20 --log-every 5 "
    "--evaluate-every 20 --val-share 0.2 --workers 1 --device cpu --precision fp32"
)
PATIENCE = 120.0
"""Seconds after which an attempt that nobody killed counts as hung."""
MODULES = (
    *("translate.cli.app", "translate.cli.train", "translate.cli.train_start", "translate.cli.infer"),
    *("translate.training.run", "translate.infer.stages", "gantk_cyclegan", "scipy.ndimage", "tifffile", "imagecodecs"),
)
TIMES = ("images_per_s", "waiting")
"""What a line of ``metrics.jsonl`` says of time, and not of the run."""


class SoakError(Exception):
    """A run that did not end as it must."""


@dataclass(frozen=True)
class Subject:
    """A command to kill. ``words``: of the attempt that writes into a folder; ``check``: raises unless the folder is as
    the uninterrupted one."""

    name: str
    words: Callable[[Path], list[str]]
    check: Callable[[Path, Path], None]


def draw(folder: Path, count: int, side: int, seed: int) -> None:
    """Write pictures of several formats, depths and kinds of metadata."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        smooth = rng.integers(0, 256, (4, 4, 3), np.uint8)
        height, width = side + 4 * (number % 3), side + 4 * (number % 2)
        picture = Image.fromarray(smooth).resize((width, height), Image.Resampling.BICUBIC)
        match number % 4:
            case 0:
                picture.save(folder / f"{number}.png")
            case 1:
                exif = Image.Exif()
                exif[0x010E] = f"photo {number}"
                picture.save(folder / f"{number}.jpg", exif=exif)
            case 2:
                picture.putalpha(Image.linear_gradient("L").resize(picture.size))
                picture.save(folder / f"{number}.webp", lossless=True)
            case _:
                picture.save(folder / f"{number}.tif")


def attempt(words: Sequence[str], log: Path, moment: float | None) -> bool:
    """Run a command line in a copy of this process; whether it was killed, ``moment`` seconds after its start."""
    child = os.fork()
    if child == 0:
        _be(words, log)
    began = time.monotonic()
    end = began + (PATIENCE if moment is None else moment)
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            if status:
                raise SoakError(f"exit status {status}: {' '.join(words)}\n{log.read_text(encoding='utf-8')[-2000:]}")
            return False
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if moment is None:
        raise SoakError(f"no end after {PATIENCE:g} s: {' '.join(words)}\n{log.read_text(encoding='utf-8')[-2000:]}")
    return True


def _be(words: Sequence[str], log: Path) -> None:
    code = 70
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        from translate.cli.app import run

        code = run(words)
    finally:
        os._exit(code)


def same_tree(folder: Path, whole: Path, *, but: frozenset[str] = frozenset()) -> None:
    """Raise ``SoakError`` unless both folders hold the same files of the same bytes, apart from files of some names."""
    have, want = ({p.relative_to(top) for p in top.rglob("*") if p.is_file()} for top in (folder, whole))
    if have != want:
        left, missing = (sorted(map(str, paths)) for paths in (have - want, want - have))
        raise SoakError(f"left over in {folder}: {left}, missing: {missing}")
    for path in sorted(want):
        if path.name not in but and not filecmp.cmp(folder / path, whole / path, shallow=False):
            raise SoakError(f"{folder / path} differs from the uninterrupted run's")


def check_run(folder: Path, whole: Path) -> None:
    """As ``same_tree``, of run folders: of their logs, all but the times."""
    same_tree(folder, whole, but=frozenset({"config.toml", "metrics.jsonl"}))
    ours, theirs = (
        [
            {key: value for key, value in json.loads(line).items() if key not in TIMES}
            for line in (top / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        for top in (folder, whole)
    )
    for one, other in zip(ours, theirs, strict=False):
        if one != other:
            raise SoakError(f"{folder}/metrics.jsonl: {one}, in the uninterrupted run {other}")
    if len(ours) != len(theirs):
        raise SoakError(f"{folder}/metrics.jsonl: {len(ours)} lines, in the uninterrupted run {len(theirs)}")


def soak(subject: Subject, room: Path, kills: int, rng: random.Random) -> dict[str, object]:
    """Kill the command so many times; what became of it."""
    room.mkdir()
    log, whole = room / "log", room / "whole" / "out"
    whole.parent.mkdir()
    began = time.monotonic()
    attempt(subject.words(whole), log, None)
    length = time.monotonic() - began
    done, ended, most, since = 0, 0, 0, 0
    fresh = room / "0" / "out"
    fresh.parent.mkdir()
    while done < kills or since:
        # The last run is finished in peace.
        moment = rng.uniform(0.0, length) if done < kills else None
        if attempt(subject.words(fresh), log, moment):
            done, since = done + 1, since + 1
            continue
        subject.check(fresh, whole)
        if left := [path.name for path in fresh.parent.iterdir() if path.name != "out"]:
            raise SoakError(f"left over beside {fresh}: {left}")
        shutil.rmtree(fresh.parent)
        ended, most, since = ended + 1, max(most, since), 0
        fresh = room / str(ended) / "out"
        fresh.parent.mkdir()
    seconds = time.monotonic() - began
    return {"command": subject.name, "kills": done, "ended": ended, "most": most, "whole": length, "seconds": seconds}


def subjects(room: Path) -> list[Subject]:
    """``train`` and ``infer`` on tiny networks; the second takes the run of the first."""
    data, photos = room / "data", room / "photos"
    for domain in ("a", "b"):
        draw(data / domain, PHOTOS, 36, ord(domain))
    draw(photos, 4 * PHOTOS, 96, 7)

    def train(out: Path) -> list[str]:
        words = ["train", "cyclegan", "--a", str(data / "a"), "--b", str(data / "b"), "--out", str(out)]
        words += TRAINING.split()
        return [*words, "--resume"] if out.exists() else words

    def infer(out: Path) -> list[str]:
        model = room / "train" / "whole" / "out"
        return ["infer", str(model), str(photos), "--out", str(out), "--device", "cpu", "--tile", "64"]

    return [Subject("train", train, check_run), Subject("infer", infer, same_tree)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=250, help="of each command")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    add_json(parser)
    given = parser.parse_args()
    for module in MODULES:
        importlib.import_module(module)
    rng = random.Random(given.seed)
    widths = (10, 8, 12, 16, 12, 10)
    row(("command", "kills", "runs ended", "most in one run", "one run, s", "total, s"), widths)
    room = Path(tempfile.mkdtemp(prefix="gantk-soak-"))
    try:
        for subject in subjects(room):
            found = soak(subject, room / subject.name, given.kills, rng)
            row(found.values(), widths)
            append(given.json, "soak", found)
    except SoakError as error:
        sys.exit(f"{error}\nkept: {room}")
    shutil.rmtree(room)
    tell_machine()


if __name__ == "__main__":
    main()
