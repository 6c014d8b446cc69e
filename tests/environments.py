"""Fresh virtual environments that see what this one has, to install packages into and to try them from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

MYPY_CACHE = ("--cache-dir", str(Path(__file__).parents[1] / ".mypy_cache" / "packages"))
"""Kept between runs: to read torch anew takes a minute. Not the repository's own, which has other settings."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment of its own: ``gantk`` and its dependencies come from the one that runs the tests."""

    folder: Path

    @property
    def scripts(self) -> Path:
        """Where its commands are."""
        return self.folder / ("Scripts" if os.name == "nt" else "bin")

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.scripts / ("python.exe" if os.name == "nt" else "python")

    @property
    def packages(self) -> Path:
        """Its site-packages."""
        paths = {"base": str(self.folder), "platbase": str(self.folder)}
        return Path(sysconfig.get_path("purelib", "venv", paths))

    def run(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run ``python words...`` and give back what it did."""
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "GANTK_PLUGINS", "VIRTUAL_ENV")}
        environment |= {"OMP_NUM_THREADS": "1", "PATH": f"{self.scripts}{os.pathsep}{os.environ['PATH']}"}
        command = [str(self.python), *words]
        return subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=cwd, timeout=280, check=False
        )

    def gantk(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run ``gantk words...``."""
        return self.run("-m", "translate", *words, cwd=cwd)

    def install(self, package: Path) -> None:
        """``pip install`` of a folder, with nothing fetched."""
        result = self.pip("install", "--no-deps", "--no-build-isolation", str(package))
        assert result.returncode == 0, result.stderr

    def pip(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run this environment's pip on that one, offline."""
        quiet = ["--quiet", "--no-index", "--disable-pip-version-check"]
        command = [sys.executable, "-m", "pip", "--python", str(self.python), words[0], *quiet, *words[1:]]
        if words[0] == "uninstall":
            command.remove("--no-index")
        return subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)

    def files(self) -> set[str]:
        """Everything in it, caches of byte code apart."""
        return {
            str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if "__pycache__" not in path.parts
        }


def fresh(folder: Path) -> Environment:
    """A new environment in ``folder``."""
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    environment = Environment(folder)
    here = sysconfig.get_path("purelib")
    # Unlike a plain path, this reads the .pth files there as well: editable installs.
    (environment.packages / "tests.pth").write_text(f"import site; site.addsitedir({here!r})\n", encoding="utf-8")
    return environment
