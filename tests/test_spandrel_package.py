"""A third party's networks of spandrel's, installed into an environment of its own; skipped without that library."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from environments import MYPY_CACHE, fresh

pytest.importorskip("spandrel")

PACKAGE = Path(__file__).parent / "packages" / "gantk-spandrel"


def test_its_own_tests_pass_where_it_is_installed(tmp_path: Path) -> None:
    source = Path(shutil.copytree(PACKAGE, tmp_path / "source"))
    environment = fresh(tmp_path / "env")
    environment.install(source)
    result = environment.run("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=source)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["mypy", *MYPY_CACHE], marks=pytest.mark.slow),
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
    ],
    ids=lambda command: command[0],
)
def test_it_type_checks_and_is_clean(command: list[str]) -> None:
    result = subprocess.run([sys.executable, "-m", *command], cwd=PACKAGE, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
