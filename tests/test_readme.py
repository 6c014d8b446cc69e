"""Every block of README.md runs, in its order and as it stands, but for trainings, which are made tiny."""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from environments import fresh
from translate.cli import app as cli
from translate.testing import check_task_model

ROOT = Path(__file__).resolve().parents[1]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
RUN = ["--size", "32", "--steps", "2", "--device", "cpu", "--workers", "0"]
TINY = {
    "cyclegan": [*RUN, "--width", "4", "--blocks", "1", "--patch-layers", "1"],
    "dcgan": [*RUN, "--width", "4", "--batch", "2"],
    "sepia": [*RUN, "--width", "4", "--blocks", "1"],
}


def block(mark: str) -> str:
    """The one block that has ``mark`` in it."""
    (found,) = [text for _, text in BLOCKS if mark in text]
    return found


def words_of(line: str) -> list[str]:
    words = shlex.split(line, comments=True)
    return [*words, *TINY[words[2]]] if words[1:2] == ["train"] else words


def gantk(words: Sequence[str]) -> None:
    assert cli.run(words) == 0, f"gantk {' '.join(words)}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures under the README's names."""
    root = tmp_path_factory.mktemp("readme")
    rng = np.random.default_rng(0)
    for name in ("horses/1.png", "horses/2.png", "zebras/1.png", "zebras/2.png", "faces/1.png", "faces/2.png"):
        (root / name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 44, 3), dtype=np.uint8)).save(root / name)
    for name in ("photos/horse.jpg", "photos/2.jpg", "look/1.png", "look/2.png"):
        (root / name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (36, 50, 3), dtype=np.uint8)).save(root / name)
    return root


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for line in block("make demo").splitlines():
        make, target = words_of(line)
        assert make == "make"
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_the_commands_and_the_lines_of_python(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    first, *others = block("pip install gantk").splitlines()
    assert first == f"pip install {tomllib.loads((ROOT / 'pyproject.toml').read_text('utf-8'))['project']['name']}"
    for line in others:
        gantk(words_of(line)[1:])
    exec(compile(block("translate.load"), "README.md", "exec"), {})
    for name in ("zebra.jpg", "out/horse.jpg", "out-2/2.jpg"):
        with Image.open(name) as picture:
            assert picture.size == (50, 36)
    shutil.copytree("runs/h2z", "runs/h2z-2")  # another run beside the first one
    for line in block("gantk evaluate").splitlines():
        if not line.startswith("gantk watch"):  # which serves a page until it is interrupted
            gantk(words_of(line)[1:])
    assert Path("grid.png").is_file()
    assert Path("horses2zebras.safetensors").is_file()


def test_a_package_of_ones_own(folder: Path, tmp_path: Path) -> None:
    environment = fresh(tmp_path / "env")
    for line in block("gantk plugins new").splitlines():
        words = words_of(line)
        if words[0] == "pip":
            result = environment.pip(words[1], "--no-deps", "--no-build-isolation", str(folder / words[-1]))
        else:
            result = environment.gantk(*words[1:], cwd=folder)
        assert result.returncode == 0, f"{line}\n{result.stdout}{result.stderr}"


def test_the_class_is_all_that_a_model_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = block("class Sepia")
    small = code.replace("ResnetGenerator(3, 3)", "ResnetGenerator(3, 3, 4, 1)")
    small = small.replace("PatchDiscriminator(3)", "PatchDiscriminator(3, 4, 1)")
    (tmp_path / "readme_sepia.py").write_text(small, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        check_task_model(importlib.import_module("readme_sepia").Sepia())
    finally:
        sys.modules.pop("readme_sepia", None)


def test_no_block_is_left_out() -> None:
    """Runs after the others; names the block that no test above asks for."""
    marks = ("make demo", "pip install gantk", "translate.load", "gantk evaluate", "gantk plugins new", "class Sepia")
    assert {block(mark) for mark in marks} == {text for _, text in BLOCKS}
