"""Twenty plugins cost a start nothing but their metadata: none of them is imported, nor is anything heavy.

Times are measured by bench/startup.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stranger import install

HEAVY = ("torch", "torchvision", "kornia", "albumentations", "cv2", "scipy", "numpy")
REPORT = f"""
import sys
from translate.cli.app import run
code = run(sys.argv[1:])
loaded = [m for m in sys.modules if m.startswith("stranger_") or m in {HEAVY!r}]
print("LOADED", loaded, file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def twenty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    for index in range(20):
        code = f'raise SystemExit("stranger_{index} was imported")\n\nclass Sepia:\n    """Model {index}."""\n'
        install(folder, f"stranger-{index}", name=f"sepia_{index}", module=f"stranger_{index}", code=code)
    return folder


@pytest.mark.parametrize("words", [["--help"], ["plugins"], ["train", "--help"], ["--version"]])
def test_no_plugin_and_nothing_heavy_is_imported(twenty: Path, words: list[str]) -> None:
    environment = {**os.environ, "PYTHONPATH": str(twenty)}
    result = subprocess.run(
        [sys.executable, "-c", REPORT, *words], env=environment, capture_output=True, text=True, timeout=100
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr.strip().splitlines()[-1] == "LOADED []"
    if words != ["--help"] and words != ["--version"]:
        assert "sepia_19" in result.stdout
        assert "Model 7." in result.stdout


@pytest.mark.parametrize("setting", [["--no-plugins"], []])
def test_strangers_can_be_left_out(twenty: Path, setting: list[str]) -> None:
    environment = {**os.environ, "PYTHONPATH": str(twenty)} | ({} if setting else {"GANTK_PLUGINS": "none"})
    command = [sys.executable, "-m", "translate", "train", "--help", *setting]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, result.stderr
    assert "cyclegan" in result.stdout
    assert "sepia" not in result.stdout
