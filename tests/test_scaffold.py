"""``gantk plugins new``: what it writes works at once, and nothing is written where it cannot be."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from environments import MYPY_CACHE, Environment, fresh
from translate import scaffold
from translate.cli import app as cli
from translate.errors import UsageError
from translate.scaffold import new_package

SMALL = ("--width", "4", "--blocks", "1", "--size", "16", "--batch", "2", "--workers", "1")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("author")


@pytest.fixture(scope="module")
def untouched(environment: Environment) -> set[str]:
    return environment.files()


@pytest.fixture(scope="module")
def environment(root: Path) -> Environment:
    return fresh(root / "env")


@pytest.fixture(scope="module")
def package(root: Path, environment: Environment, untouched: set[str]) -> Path:
    result = environment.gantk("plugins", "new", "sepia", cwd=root)
    assert result.returncode == 0, result.stderr
    assert "pip install" in result.stderr
    environment.install(root / "gantk-sepia")
    return root / "gantk-sepia"


def draw(folder: Path, count: int, seed: int) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for index in range(count):
        Image.fromarray(rng.integers(0, 256, (21, 18, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    return folder


def test_the_package_is_complete(package: Path) -> None:
    files = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    assert files == {
        ".gitignore",
        "README.md",
        "gantk_sepia.py",
        "pyproject.toml",
        "sepia.toml",
        str(Path("tests", "test_gantk_sepia.py")),
    }
    about = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))
    assert about["project"]["license"] == scaffold.LICENCE
    assert about["project"]["entry-points"]["gantk.models"] == {"sepia": "gantk_sepia:Sepia"}
    assert not [path for path in files if "{{" in (package / path).read_text(encoding="utf-8")]


def test_it_is_listed_with_its_distribution(package: Path, environment: Environment) -> None:
    result = environment.gantk("plugins", "--json")
    rows = {row["name"]: row for row in map(json.loads, result.stdout.splitlines())}
    assert rows["sepia"] == {
        "name": "sepia",
        "title": "Gives pictures the look of others.",
        "distribution": "gantk-sepia",
        "version": "0.1.0",
        "entry point": "gantk_sepia:Sepia",
        "state": "ready",
    }


def test_it_trains_and_translates(package: Path, environment: Environment, root: Path) -> None:
    photos, look = draw(root / "photos", 3, 0), draw(root / "look", 3, 1)
    data, run = ("--a", str(photos), "--b", str(look)), root / "run"
    config = ("--config", str(package / "sepia.toml"))
    trained = environment.gantk("train", "sepia", *config, *data, *SMALL, "--steps", "2", "--out", str(run))
    assert trained.returncode == 0, trained.stderr
    result = environment.gantk("infer", str(run), str(photos), "--out", str(root / "out"))
    assert result.returncode == 0, result.stderr
    with Image.open(root / "out" / "0.png") as picture:
        assert picture.size == (18, 21)


def test_it_passes_its_own_tests(package: Path, environment: Environment) -> None:
    result = environment.run("-m", "pytest", "-q", "-W", "error", cwd=package)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 passed" in result.stdout


def test_it_passes_the_check(package: Path, environment: Environment, root: Path) -> None:
    small = root / "small.toml"
    small.write_text("[model]\nwidth = 4\nblocks = 1\n", encoding="utf-8")
    result = environment.gantk("plugins", "check", "sepia", "--config", str(small))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "skipped" not in result.stdout
    assert "sepia (gantk-sepia 0.1.0)" in result.stderr
    assert "0 failed, 0 skipped" in result.stderr


def test_it_type_checks_and_is_clean(package: Path) -> None:
    for command in (["mypy", *MYPY_CACHE], ["ruff", "check", "."], ["ruff", "format", "--check", "."]):
        result = subprocess.run([sys.executable, "-m", *command], cwd=package, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr


def test_uninstalling_leaves_no_trace(root: Path, environment: Environment, package: Path, untouched: set[str]) -> None:
    assert any("gantk_sepia" in path for path in environment.files())
    result = environment.pip("uninstall", "--yes", "gantk-sepia")
    assert result.returncode == 0, result.stderr
    assert environment.files() == untouched
    gone = environment.gantk("train", "sepia", "--help")
    assert gone.returncode == 2
    assert "no model is named 'sepia'" in gone.stderr
    environment.install(package)  # for the tests that may follow


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Sepia", "expected lower-case letters"),
        ("2d", "expected lower-case letters"),
        ("", "expected lower-case letters"),
        ("../up", "expected lower-case letters"),
        ("my-model", "expected lower-case letters"),
        ("a__b", "expected lower-case letters"),
        ("sépia", "expected lower-case letters"),
        ("x" * 31, "at most 30"),
        ("class", "means something else already"),
        ("none", "means something else already"),
        ("cyclegan", "taken by the installed plugin cyclegan (gantk "),
    ],
)
def test_a_name_that_cannot_be(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        new_package(name, tmp_path)
    assert reason in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_module_that_is_there_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gantk_brown.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UsageError, match="a module gantk_brown is installed already"):
        new_package("brown", tmp_path)


def test_an_existing_folder_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "gantk-brown" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine", encoding="utf-8")
    assert cli.run(["plugins", "new", "brown", "--dir", str(tmp_path)]) == 2
    assert "exists already; choose another name or --dir" in capsys.readouterr().err
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        new_package("brown", tmp_path / "nowhere")


def test_a_killed_one_leaves_nothing_after_the_next(tmp_path: Path, killed_writer: Callable[..., Path]) -> None:
    killed_writer(tmp_path / "gantk-brown", "folder")
    package = new_package("brown", tmp_path)
    assert list(tmp_path.iterdir()) == [package]


def test_a_failure_midway_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []

    def fails(path: Path, text: str) -> None:
        path.write_text(text, encoding="utf-8")
        written.append(path)
        if len(written) == 3:
            raise OSError("disk full")

    monkeypatch.setattr(scaffold, "write_text_whole", fails)
    with pytest.raises(OSError, match="disk full"):
        new_package("brown", tmp_path)
    assert len(written) == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("licence", ["MIT", "GPL-3.0-or-later", "LicenseRef-Ours"])
def test_the_licence_is_stated(licence: str, tmp_path: Path) -> None:
    package = new_package("brown", tmp_path, licence)
    about = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))
    assert about["project"]["license"] == licence
    assert f"Licence: {licence}" in (package / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("licence", ["mit", "Apache 2", 'MIT"\n[x]', ""])
def test_a_licence_that_build_tools_would_refuse(licence: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected an SPDX identifier"):
        new_package("brown", tmp_path, licence)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("my_model", "MyModel"),
        ("unpaired", "UnpairedModel"),
        ("task_model", "TaskModelModel"),
        ("tensor", "TensorModel"),
        ("g2", "G2"),
        ("x" * 30, "X" + "x" * 29),
    ],
)
def test_the_class_hides_nothing_that_the_module_needs(name: str, cls: str, tmp_path: Path) -> None:
    package = new_package(name, tmp_path)
    module = package / f"gantk_{name}.py"
    (found,) = [node.name for node in ast.parse(module.read_text("utf-8")).body if isinstance(node, ast.ClassDef)]
    assert found == cls
    for command in (["check", "."], ["format", "--check", "."]):
        result = subprocess.run([sys.executable, "-m", "ruff", *command], cwd=package, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout
