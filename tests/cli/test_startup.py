"""Twenty plugins cost a start nothing but their metadata: none of them is imported, nor is anything heavy.

Nor is torch for a help page, or for a mistake that shows without it.

Times are measured by bench/startup.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from export.small_models import save_random
from stranger import install
from translate.dataspec import DataSpec

HEAVY = ("torch", "torchvision", "kornia", "albumentations", "cv2", "scipy", "numpy")
REPORT = f"""
import sys
from translate.cli.app import run
code = run(sys.argv[1:])
loaded = [m for m in sys.modules if m.startswith("stranger_") or m in {HEAVY!r}]
print("LOADED", loaded, file=sys.stderr)
sys.exit(code)
"""


EACH = """
import json, sys
from translate.cli.app import run
for words in json.loads(sys.argv[1]):
    print("CODE", run(words), "torch" in sys.modules, *words, file=sys.stderr)
"""
COMMANDS = tuple(
    words.split()
    for words in (
        *("infer", "sample", "evaluate", "export", "inspect", "compare", "health", "report", "watch", "import", "push"),
        *("pull", "detect", "env", "plugins show", "plugins check", "plugins new"),
    )
)
WRONG = {
    "infer": "Missing argument 'MODEL'",
    "infer nope x --out y": "nope: no such model",
    "infer model.safetensors nope.png --out y": "nope.png: no such file or folder",
    "infer model.safetensors x --out y --tile abc": "--tile 'abc': expected auto",
    "infer model.safetensors x --out y --bits 9": "--bits 9: expected one of 8, 16, 32",
    "infer broken.safetensors x --out y": "broken.safetensors",
    "sample nope --out y": "nope: no such model",
    "sample nope": "nowhere to write",
    "sample nope --out y --count 0": "--count 0: expected a whole number >= 1",
    "sample nope --grid broken.safetensors": "exists already",
    "evaluate nope": "expected one of --inputs DIR",
    "evaluate nope --against x": "nope: no such model",
    "evaluate --against x": "expected a MODEL, or --pictures DIR without one",
    "evaluate nope --against x --metric odd": "--metric odd: expected",
    "export nope --out y": "nope: no such model",
    "export nope --out broken.safetensors": "exists already",
    "export nope --out y --opset 18": "--opset: expected --to onnx",
    "export nope --out y --to hub --metric x": "--metric: expected --metric-data",
    "inspect nope": "nope: no such model",
    "health nope": "nope: no run folder",
    "report nope": "nope: no run folder",
    "watch nope": "nope: no such model",
    "watch nope --port 70000": "--port 70000",
    "plugins check nope": "no model is named 'nope'",
    "plugins show nope": "no model is named 'nope'",
}


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


def codes(lines: list[list[str]], folder: Path) -> list[str]:
    """What a process that runs these command lines writes to stderr."""
    command = [sys.executable, "-c", EACH, json.dumps(lines)]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=True)
    return result.stderr.splitlines()


def test_no_help_page_and_no_unknown_flag_imports_torch(tmp_path: Path) -> None:
    lines = [[*words, "--help"] for words in COMMANDS] + [[*words, "--wrong"] for words in COMMANDS]
    found = [line for line in codes(lines, tmp_path) if line.startswith("CODE")]
    assert found == [f"CODE {2 * ('--wrong' in words)} False {' '.join(words)}" for words in lines]


def test_no_mistake_imports_torch_that_shows_without_it(tmp_path: Path) -> None:
    save_random(tmp_path / "model.safetensors", "dcgan", {"width": 2}, DataSpec(32, {"image": 3}))
    (tmp_path / "broken.safetensors").write_bytes(b"broken")
    errors = codes([line.split() for line in WRONG], tmp_path)
    assert errors[1::2] == [f"CODE 2 False {line}" for line in WRONG]
    for line, error, expected in zip(WRONG, errors[::2], WRONG.values(), strict=True):
        assert error.startswith("gantk: error: "), line
        assert expected in error, line
