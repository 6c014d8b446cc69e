"""Hooks of the documentation: pages find their way into the navigation and the index of models by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

HERE = Path(__file__).resolve().parents[1]
ASSETS = HERE.parent / "assets"
INDEX = "<!-- the models' pages are listed here -->"


def pages_of_models() -> list[Path]:
    """A page per model, by name; the index first."""
    return sorted((HERE / "models").glob("*.md"), key=lambda page: (page.stem != "index", page.stem))


def title_and_purpose(page: Path) -> tuple[str, str]:
    """A page's heading and the first sentence below it."""
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if line]
    return lines[0].removeprefix("# "), lines[1]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Replace ``models/*.md`` in the navigation by the pages that there are; add pages that it does not name."""
    entries: list[Any] = []
    for entry in config.nav or []:
        if isinstance(entry, dict) and entry.get("Models") == "models/*.md":
            entry = {"Models": [page.relative_to(HERE).as_posix() for page in pages_of_models()]}
        entries.append(entry)
    named = {entry for entry in entries if isinstance(entry, str)}
    entries += sorted(page.name for page in HERE.glob("*.md") if page.name not in named)
    config.nav = entries
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Let pages show the pictures of ``assets/``, which lies beside ``docs/``."""
    for picture in sorted(ASSETS.glob("*.png")):
        files.append(File.generated(config, f"assets/{picture.name}", abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """List the models on their index; let paths to ``assets/`` lead to its copy in the site."""
    if page.file.src_uri == "models/index.md":
        rows = [(path.name, *title_and_purpose(path)) for path in pages_of_models() if path.stem != "index"]
        table = ["| model | |", "|---|---|", *(f"| [{title}]({name}) | {purpose} |" for name, title, purpose in rows)]
        markdown = markdown.replace(INDEX, "\n".join(table))
    return markdown.replace("../../assets/", "../assets/")
