"""A third party's package, installed into an environment of its own and used from the command line alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from environments import MYPY_CACHE, Environment, fresh

PACKAGE = Path(__file__).parent / "packages" / "gantk-example"
SMALL = ("--width", "2", "--blocks", "1", "--patch-layers", "1")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("example")


@pytest.fixture(scope="module")
def environment(root: Path) -> Environment:
    return fresh(root / "env")


@pytest.fixture(scope="module")
def untouched(environment: Environment) -> set[str]:
    return environment.files()


@pytest.fixture(scope="module")
def installed(environment: Environment, untouched: set[str], root: Path) -> Environment:
    # A copy, as a build writes into what it builds.
    environment.install(Path(shutil.copytree(PACKAGE, root / "source")))
    return environment


@pytest.fixture(scope="module")
def folders(root: Path) -> tuple[str, str]:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (root / name).mkdir()
        for index in range(3):
            pixels = rng.integers(0, 256, (19, 22, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    return str(root / "a"), str(root / "b")


@pytest.fixture(scope="module")
def run(installed: Environment, folders: tuple[str, str], root: Path) -> Path:
    data = ("--a", folders[0], "--b", folders[1], "--size", "16", "--workers", "1")
    pace = ("--steps", "3", "--save-every", "2", "--log-every", "1", "--out", str(root / "run"))
    result = installed.gantk("train", "gcgan", *data, *SMALL, *pace)
    assert result.returncode == 0, result.stderr
    return root / "run"


def test_the_model_is_listed_with_its_distribution(installed: Environment) -> None:
    rows = [json.loads(line) for line in installed.gantk("plugins", "--json").stdout.splitlines()]
    (ours,) = (row for row in rows if row["distribution"] == "gantk-example")
    assert (ours["name"], ours["state"]) == ("gcgan", "ready")
    assert ours["title"] == "Unpaired translation that commutes with a quarter turn (Fu et al., 2019)."


def test_it_trains_with_its_own_loss(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert all(np.isfinite(line["translate/geometry"]) for line in lines)
    assert "geometry = 20.0" in (run / "config.toml").read_text("utf-8")


def test_it_translates_photos_from_the_run_and_from_the_exported_file(
    installed: Environment, run: Path, folders: tuple[str, str], root: Path
) -> None:
    file = root / "gcgan.safetensors"
    exported = installed.gantk("export", str(run), "--out", str(file))
    assert exported.returncode == 0, exported.stderr
    pictures = []
    for model, out in ((run, root / "of-run"), (file, root / "of-file")):
        result = installed.gantk("infer", str(model), folders[0], "--out", str(out))
        assert result.returncode == 0, result.stderr
        with Image.open(out / "0.png") as picture:
            assert picture.size == (22, 19)
            pictures.append(np.asarray(picture))
    assert np.array_equal(*pictures)


def test_its_discriminators_are_not_published(run: Path) -> None:
    from safetensors import safe_open

    with safe_open(run / "model.safetensors", framework="pt") as file:
        assert {key.partition(".")[0] for key in file.keys()} == {"g"}  # noqa: SIM118 -- not a dict


def test_it_keeps_the_contract(installed: Environment, root: Path) -> None:
    small = root / "small.toml"
    small.write_text("[model]\nwidth = 2\nblocks = 1\npatch_layers = 1\n", encoding="utf-8")
    result = installed.gantk("plugins", "check", "gcgan", "--config", str(small), "--json")
    states = {record["check"]: record["state"] for record in map(json.loads, result.stdout.splitlines())}
    assert result.returncode == 0, result.stdout + result.stderr
    assert set(states.values()) == {"passed"}
    assert "published" in states


def test_its_own_tests_pass_where_it_is_installed(installed: Environment, root: Path) -> None:
    result = installed.run("-m", "pytest", "-q", "-k", "not contract", cwd=root / "source")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_its_own_proof_of_the_contract_passes(installed: Environment, root: Path) -> None:
    result = installed.run("-m", "pytest", "-q", "-k", "contract", cwd=root / "source")
    assert result.returncode == 0, result.stdout + result.stderr


def test_it_type_checks_and_is_clean() -> None:
    for command in (["mypy", *MYPY_CACHE], ["ruff", "check", "."], ["ruff", "format", "--check", "."]):
        result = subprocess.run([sys.executable, "-m", *command], cwd=PACKAGE, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr


def test_without_the_package_its_run_says_what_is_missing(
    installed: Environment, untouched: set[str], run: Path, folders: tuple[str, str], root: Path
) -> None:
    assert installed.pip("uninstall", "--yes", "gantk-example").returncode == 0
    assert installed.files() == untouched, "uninstalling leaves no trace"
    result = installed.gantk("infer", str(run), folders[0], "--out", str(root / "never"))
    assert result.returncode == 2
    assert "gcgan" in result.stderr
    assert "gantk-example" in result.stderr
    assert "Traceback" not in result.stderr
    installed.install(root / "source")
