"""README and docs/: their flags exist, the models' pages follow the pattern, the site builds without a dead link."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from translate import plugins
from translate.cli import app as cli

ROOT = Path(__file__).resolve().parents[1]
MODELS = sorted(page for page in (ROOT / "docs" / "models").glob("*.md") if page.stem != "index")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PATTERN = ("## Data", "## Command", "## What to expect", "## When it looks bad")
COMMANDS = ("infer", "sample", "evaluate", "compare", "export", "import", "inspect", "env")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


@cache
def flags_of(*command: str) -> frozenset[str]:
    """The flags in a command's help."""
    text = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(text):
        patch.setenv("COLUMNS", "300")
        assert cli.run([*command, "--help"]) == 0
    return frozenset(FLAG.findall(text.getvalue())) | cli.SHARED


def command_lines(text: str) -> list[list[str]]:
    """The words after ``gantk`` (or ``python -m translate``) in the shell blocks."""
    lines = []
    for block in re.findall(r"^```sh\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.search(r"(?:^|\s)(?:gantk|-m translate)\s+(.*)", line.split(" #")[0])
            if found and not line.startswith("#"):
                lines.append(shlex.split(found.group(1)))
    return lines


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_flag_of_a_command_line_exists(page: Path) -> None:
    for words in command_lines(page.read_text(encoding="utf-8")):
        flags = {word for word in words if FLAG.fullmatch(word)}
        deep = 2 if words[0] in ("train", "plugins") and len(words) > 1 else 1
        command = words[:deep]
        if command[0] == "train" and command[1] not in plugins.selectable():
            continue  # the reader's own
        assert flags <= flags_of(*command), f"{page.name}: gantk {' '.join(words)}"


@pytest.mark.parametrize("page", MODELS, ids=lambda page: page.stem)
def test_a_models_page_mentions_flags_that_exist(page: Path) -> None:
    assert page.stem in plugins.selectable()
    known = flags_of("train", page.stem).union(*(flags_of(command) for command in COMMANDS))
    mentioned = {flag for code in re.findall(r"`([^`]+)`", page.read_text("utf-8")) for flag in FLAG.findall(code)}
    variants = [name for name in plugins.selectable() if name.startswith(f"{page.stem}-")]
    assert mentioned <= known.union(*(flags_of("train", name) for name in variants))


@pytest.mark.parametrize("name", ["cyclegan", "pix2pix", "srgan", "esrgan"])
def test_a_models_page_follows_the_pattern(name: str) -> None:
    text = (ROOT / "docs" / "models" / f"{name}.md").read_text(encoding="utf-8")
    assert tuple(line for line in text.splitlines() if line.startswith("## ")) == PATTERN


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder / "site")]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.skipif(importlib.util.find_spec("mkdocstrings") is None, reason="needs the extra docs")
def test_the_site_builds_and_a_dead_link_is_an_error(tmp_path: Path) -> None:
    for name in ("docs", "assets", "translate", "plugins", "mkdocs.yml"):
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tmp_path / name)
    result = build(tmp_path)
    assert result.returncode == 0, result.stderr
    index = (tmp_path / "site" / "models" / "index.html").read_text(encoding="utf-8")
    assert all(f'href="{page.stem}.html"' in index for page in MODELS)
    with (tmp_path / "docs" / "models" / "cyclegan.md").open("a", encoding="utf-8") as page:
        page.write("\n[nowhere](nowhere.md)\n")
    result = build(tmp_path)
    assert result.returncode != 0
    assert "nowhere.md" in result.stderr


def test_an_index_shows_no_link_into_the_repository() -> None:
    pytest.importorskip("hatchling")
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = module.without_relative_links((ROOT / "README.md").read_text(encoding="utf-8"))
    assert re.findall(r"\]\((?!https?:)", text) == []
    assert "arxiv.org" in text
    assert (
        module.without_relative_links("[here](docs/x.md) and [there](https://x.org)")
        == "here and [there](https://x.org)"
    )
