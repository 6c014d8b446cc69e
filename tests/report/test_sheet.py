"""The contact sheet of ``gantk infer``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_models import translator

from translate.cli import app as cli
from translate.cli import infer
from translate.reading import STANDARD
from translate.report.sheet import sheet


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four photos, of which one is broken, and a model to translate them."""
    monkeypatch.setattr(infer, "read_card", lambda path: None)
    monkeypatch.setattr("translate.modelfile.model.load_published", lambda path: translator())
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, shape in (("grey.png", (20, 30)), ("wide.jpg", (24, 900, 3)), ("more/<b>.png", (16, 16, 4))):
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(folder / name)
    (folder / "broken.png").write_text("no picture")
    return folder


def test_the_sheet_shows_each_photo_its_time_and_what_failed(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "sheets" / "sheet.html"
    command = ["infer", "model", str(photos), "--out", str(tmp_path / "out"), "--direction", "double"]
    assert cli.run([*command, "--report", str(page), "--json"]) == 3
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(record["status"] for record in records) == ["done", "done", "done", "failed"]
    assert all(record["seconds"] > 0 for record in records if record["status"] == "done")
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/webp") == 6
    for words in ("3 done, 1 failed", "not an image", "grey.png", "more/&lt;b&gt;.png", "30x20 → 60x40", " s ·"):
        assert words in text
    assert text.index("broken.png") < text.index("grey.png")
    assert cli.run([*command, "--report", str(page)]) == 3
    assert "3 skipped, 1 failed" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["sheet.txt", ".", "photos"])
def test_a_sheet_that_is_no_page_is_refused_before_any_work(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    out = tmp_path / "out"
    assert cli.run(["infer", "model", str(photos), "--out", str(out), "--report", str(tmp_path / name)]) == 2
    assert "expected a file name that ends in .html" in capsys.readouterr().err
    assert not out.exists()


def test_several_processes_share_no_sheet(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    command = ["infer", "model", str(photos), "--out", str(tmp_path / "out"), "--report", str(tmp_path / "s.html")]
    assert cli.run(command) == 2


def test_a_long_sheet_lists_what_it_cannot_show(photos: Path, tmp_path: Path) -> None:
    entry = {"input": str(photos / "grey.png"), "output": str(photos / "wide.jpg"), "status": "done"}
    text = sheet("many", [entry] * 5, STANDARD, budget=2)
    assert text.count("data:image/webp") == 2
    assert "4 photos are listed without pictures" in text


def test_a_photo_that_is_gone_by_then_is_listed(photos: Path, tmp_path: Path) -> None:
    entry = {"input": str(tmp_path / "gone.png"), "output": str(photos / "wide.jpg"), "status": "done"}
    assert "gone.png" in sheet("few", [entry], STANDARD)
