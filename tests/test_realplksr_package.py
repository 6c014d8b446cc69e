"""A third party's super-resolution network, installed into an environment of its own: trained and published."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from environments import Environment, fresh

PACKAGE = Path(__file__).parent / "packages" / "gantk-realplksr"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(PACKAGE, tmp_path_factory.mktemp("realplksr") / "source"))


@pytest.fixture(scope="module")
def installed(source: Path) -> Environment:
    environment = fresh(source.parent / "env")
    environment.install(source)
    return environment


@pytest.mark.slow
def test_it_trains_and_spandrel_loads_what_it_exports(installed: Environment, tmp_path: Path) -> None:
    pytest.importorskip("spandrel")
    (tmp_path / "hr").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "hr/a.png")
    small = ("--width", "4", "--blocks", "1", "--kernel", "5", "--d-width", "2", "--warmup", "1", "--size", "16")
    pace = (
        "--steps",
        "2",
        "--batch",
        "2",
        "--scale",
        "2",
        "--hr",
        str(tmp_path / "hr"),
        "--out",
        str(tmp_path / "run"),
    )
    trained = installed.gantk("train", "realplksr", *small, *pace)
    assert trained.returncode == 0, trained.stderr
    target = tmp_path / "net.safetensors"
    exported = installed.gantk("export", str(tmp_path / "run"), "--to", "spandrel", "--out", str(target))
    assert exported.returncode == 0, exported.stderr
    assert target.stat().st_size > 0


def test_its_own_tests_pass_where_it_is_installed(installed: Environment, source: Path) -> None:
    result = installed.run("-m", "pytest", "-q", "-k", "not contract", cwd=source)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_its_own_proof_of_the_contract_passes(installed: Environment, source: Path) -> None:
    result = installed.run("-m", "pytest", "-q", "-k", "contract", cwd=source)
    assert result.returncode == 0, result.stdout + result.stderr
