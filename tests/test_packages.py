"""Packages of third parties: clean by their own settings, and their own tests pass where they are installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from environments import MYPY_CACHE, fresh

PACKAGES = Path(__file__).parent / "packages"
NEEDS: dict[str, tuple[str, ...]] = {
    "gantk-geotiff": ("rasterio",),
    "gantk-medical": ("nibabel", "pydicom"),
    "gantk-realplksr": (),
    "gantk-slides": ("openslide",),
    "gantk-spandrel": ("spandrel",),
}
"""The libraries without which a package's tests are skipped."""


def package(name: str) -> Path:
    """Its folder. Skips where its libraries are not installed."""
    for library in NEEDS[name]:
        pytest.importorskip(library)
    return PACKAGES / name


@pytest.mark.parametrize("name", NEEDS)
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["mypy", *MYPY_CACHE], marks=pytest.mark.slow),
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
    ],
    ids=lambda command: command[0],
)
def test_it_type_checks_and_is_clean(name: str, command: list[str]) -> None:
    result = subprocess.run([sys.executable, "-m", *command], cwd=package(name), capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("name", ["gantk-geotiff", "gantk-medical", "gantk-slides", "gantk-spandrel"])
def test_its_own_tests_pass_where_it_is_installed(name: str, tmp_path: Path) -> None:
    source = Path(shutil.copytree(package(name), tmp_path / "source"))
    environment = fresh(tmp_path / "env")
    environment.install(source)
    result = environment.run("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=source)
    assert result.returncode == 0, result.stdout + result.stderr
