"""The report of runs as a file: what it holds, how large it becomes, and what hostile or damaged folders do to it."""

from __future__ import annotations

import json
import os
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from report_runs import make_run

from translate.cli import app as cli
from translate.console import Console, using
from translate.preview import save_preview
from translate.report import live, pictures
from translate.report.charts import charts_of
from translate.report.folder import RunFolder, open_runs
from translate.report.live import LiveReport
from translate.report.page import REPORT, report
from translate.report.pictures import Gallery, Picture
from translate.report.records import MOST_POINTS, Best, Records, Series
from translate.training.journal import Journal
from translate.training.lock import locked


class Page(HTMLParser):
    """The elements of a page and their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    content: dict[str, Any] = json.loads(found.group(1))
    return content


def test_the_page_has_all_that_the_folder_holds(tmp_path: Path) -> None:
    text = report(open_runs([make_run(tmp_path / "run")]))
    page, data = Page(text), data_of(text)
    assert [image["data-step"] for image in page.named("img")] == ["0", "100", "200", "300", "400"]
    assert all(
        (image["src"] or "").startswith("data:image/webp;base64,") and image["alt"] for image in page.named("img")
    )
    assert json.loads(page.named("img")[0]["data-columns"] or "") == ["a", "fake_b", "rec_a"]
    (run,) = data["runs"]
    assert (run["best"], run["notes"]) == (300, [{"step": 160, "text": "a2b copies <b>it</b>"}])
    assert run["series"]["eval/frechet"] == [[100, 200, 300, 400], [3.0, 2.0, 1.0, 2.0]]
    assert data["live"] == ""
    for words in ("400 of 400", "1.2 GiB", "broken.png", "Files of a", "data.a", "/pictures/a", "2 min"):
        assert words in page.text
    assert "<b>it</b>" not in text


def test_nothing_is_loaded_from_anywhere(tmp_path: Path) -> None:
    page = Page(report(open_runs([make_run(tmp_path / "run")])))
    for tag, attributes in page.elements:
        for name in ("src", "href", "action", "srcset", "data"):
            address = attributes.get(name) or ""
            assert address == "" or address.startswith(("data:", "#")), (tag, address)
    (policy,) = [meta["content"] for meta in page.named("meta") if meta.get("http-equiv")]
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2]


def test_settings_that_differ_are_marked(tmp_path: Path) -> None:
    runs = open_runs([make_run(tmp_path / "one"), make_run(tmp_path / "two", seed=1, cycle=5.0)])
    text = report(runs)
    between = text.partition("Between the runs")[2].partition("Other than the default")[0]
    assert "model.cycle" in between
    assert "run.seed" in between
    assert "run.batch" not in between
    changed = text.partition("Other than the default")[2].partition("All settings")[0]
    assert "run.batch" in changed
    assert "run.steps" in changed


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    runs = open_runs([make_run(tmp_path / "x" / "run"), make_run(tmp_path / "y" / "run")])
    assert runs[0].name != runs[1].name


HOSTILE = '</script><img src=x onerror="alert(1)">'


def test_text_from_files_is_cut_and_escaped(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    (folder / "environment.json").write_text(json.dumps({"device": HOSTILE, "x" * 9000: "y" * 9000}))
    record = {"step": 420, f"critic/{HOSTILE}": 1.0, "generators/adv": float("nan")}
    note = {"step": 420, "health": HOSTILE, "text": HOSTILE * 900}
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(f"{json.dumps(record)}\n{json.dumps(note)}\n[1]\nnull\n\x00\n{'[' * 20000}\n")
        file.write('{"step": 1e999}\n{"step": 430, "left_out": "' + "z" * 9000 + '"}\n{"step": 440, "torn')
    (folder / "config.toml").write_text(
        f"plugin = 3\nrun = 4\n[model]\n{json.dumps(HOSTILE)} = {json.dumps(HOSTILE)}\n"
    )
    runs = open_runs([folder])
    text = report(runs)
    assert Page(text).text.count("alert(1)") > 2
    assert "onerror" not in re.sub(r"\\u003c.*?\\u003e|&lt;.*?&gt;", "", text, flags=re.DOTALL)
    assert "y" * 400 not in text
    assert "z" * 500 not in text
    assert runs[0].records.strange == 5
    assert "<img src=x" not in text


@pytest.mark.parametrize("name", ["metrics.jsonl", "data.json", "environment.json", "previews", "checkpoints"])
@pytest.mark.parametrize("damage", ["missing", "garbage"])
def test_what_is_missing_or_damaged_is_left_out(tmp_path: Path, name: str, damage: str) -> None:
    folder = make_run(tmp_path / "run")
    path = folder / name
    if path.is_dir():
        for file in path.iterdir():
            file.unlink() if damage == "missing" else file.write_bytes(b"\x89PNG\r\n\x1a\nno")
    elif damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"\xff\xfe[1")
    assert "Training report" in report(open_runs([folder]))


def noisy(folder: Path, count: int, side: int = 150) -> Path:
    """A folder of so many previews that are as hard to compress as any."""
    rng = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    for k in range(count):
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(folder / f"step-{k * 10:06d}.png")
    return folder


@pytest.mark.parametrize(
    ("budget", "most", "scaled"), [(600_000, 50, True), (300_000, 20, True), (10_000_000, 50, False)]
)
def test_many_large_previews_stay_below_the_limit(tmp_path: Path, budget: int, most: int, scaled: bool) -> None:
    folder = make_run(tmp_path / "run", previews=0)
    gallery = Gallery(noisy(folder / "previews", 60), budget)
    shown, count = gallery.pictures([205])
    assert count == 60
    assert sum(len(each.webp) for each in shown) <= budget
    full = {each.step for each in shown if each.shown_width == each.width}
    assert {0, 210, 590} <= full
    assert (len(full) < len(shown)) == scaled
    assert 3 < len(shown) <= most
    text = report([RunFolder(folder, "run", budget)])
    assert "of 60 previews are shown" in text
    assert ("are scaled down" in text) == scaled


def test_a_preview_is_encoded_once_and_once_more_where_it_is_scaled_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[tuple[int, float]] = []
    read = pictures.read_preview

    def counted(path: Path, step: int, most: int, share: float) -> Picture | None:
        encoded.append((step, share))
        return read(path, step, most, share)

    monkeypatch.setattr(pictures, "read_preview", counted)
    gallery = Gallery(tmp_path / "previews", 60_000)
    for count in range(1, 20):
        noisy(tmp_path / "previews", count, 60)
        for file in gallery.folder.iterdir():
            os.utime(file, (0, 0))
        gallery.pictures()
        gallery.pictures()
    assert len(encoded) == len(set(encoded))
    assert len(encoded) > 19


def test_a_picture_too_large_is_scaled_down() -> None:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (400, 600, 3), dtype=np.uint8))
    webp, width = pictures.encode(image, 30_000)
    assert len(webp) <= 30_000
    assert width < 600


def test_records_are_read_on_and_anew(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    records = Records(path)
    records.update()
    path.write_text('{"step": 1, "g/x": 1.0}\n{"step": 2, "g/x": 2.0}\n{"step": 3, "g/')
    records.update()
    assert records.series["g/x"].steps == [1, 2]
    with path.open("a") as file:
        file.write('x": 3.0}\n')
    records.update()
    assert records.series["g/x"].values == [1.0, 2.0, 3.0]
    path.write_text('{"step": 1, "g/x": 1.0}\n')
    records.update()
    assert (records.step, records.series["g/x"].steps) == (1, [1])


def test_a_long_curve_keeps_its_spikes() -> None:
    series = Series(list(range(10_000)), [0.0] * 10_000)
    series.values[1234], series.values[7000] = 50.0, -3.0
    points = series.thinned()
    assert len(points) <= MOST_POINTS
    assert {(1234, 50.0), (7000, -3.0)} <= set(points)
    assert points == sorted(points)


@pytest.mark.parametrize(("metric", "best"), [("psnr", (9.0, 20)), ("l1", (1.0, 10))])
def test_the_best_step_is_the_first_of_the_best(tmp_path: Path, metric: str, best: tuple[float, int]) -> None:
    values = [1.0, 9.0, 9.0, 1.0]
    lines = [
        f'{{"step": {10 * k + 10}, "eval/{metric}_error": 0.1, "eval/{metric}": {v}}}\n' for k, v in enumerate(values)
    ]
    (tmp_path / "m.jsonl").write_text("".join(lines))
    records = Records(tmp_path / "m.jsonl")
    records.update()
    assert records.best() == Best(metric, *best)


def test_charts_are_grouped() -> None:
    names = [
        "step",
        "epoch",
        "g/adv",
        "g/grad_norm",
        "d/d_real",
        "d/d_fake",
        "d/d_sign",
        "eval/l1",
        "eval/l1_error",
        "g/lr",
    ]
    charts = {(chart.group, chart.title): chart for chart in charts_of(names)}
    assert charts["Held-out pictures", "l1"].error == "eval/l1_error"
    assert list(charts["Discriminator scores", "d: on real and on generated pictures"].lines) == [
        "d/d_real",
        "d/d_fake",
    ]
    assert ("Phase g", "adv") in charts
    assert sum(len(chart.lines) for chart in charts.values()) == 7


def follow(folder: Path, previews: int, tracker: LiveReport) -> list[str]:
    """A run that a report follows; the word by which its page says how to go on, after each preview and at the end."""
    states = []

    def state() -> None:
        states.append(data_of((folder / REPORT).read_text(encoding="utf-8"))["live"])

    with using(Console(quiet=True)), Journal({REPORT: tracker}) as journal, locked(folder):
        journal.begin(folder, total=400, start=400)
        for step in range(previews):
            journal.picture(step, folder)
            state()
    state()
    return states


def test_a_run_writes_its_page_and_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SHARE", 1e9)
    assert follow(make_run(tmp_path / "run"), 2, LiveReport()) == ["file", "file", ""]


def test_the_page_takes_no_more_than_its_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    monkeypatch.setattr(live, "write_text_whole", lambda path, text: written.append(time.sleep(0.2)))
    tracker = LiveReport()
    folder = make_run(tmp_path / "run")
    tracker.begin(folder, {}, 0)
    for step in range(20):
        tracker.picture(step, folder)
    assert len(written) == 1
    tracker.close()
    assert len(written) == 2


def test_a_page_that_cannot_be_written_stops_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run(tmp_path / "run")
    (folder / REPORT).mkdir()
    (folder / REPORT / "in the way").touch()
    with using(Console(quiet=True)), Journal({REPORT: LiveReport()}) as journal:
        journal.begin(folder, total=400, start=0)
        for step in (1, 2):
            journal.picture(step, folder)
            journal.metrics({"step": step, "g/adv": 0.5})
    (line,) = capsys.readouterr().err.splitlines()
    assert "report.html failed" in line


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [str(make_run(tmp_path / name)) for name in ("one", "two")]
    out = tmp_path / "new" / "page.html"
    assert cli.run(["report", *runs, "--out", str(out)]) == 0
    assert "two" in out.read_text(encoding="utf-8")
    assert sorted(path.name for path in out.parent.iterdir()) == ["page.html"]
    capsys.readouterr()
    for words, message in [
        ([str(tmp_path)], "config.toml is missing"),
        ([*runs, "--out", str(tmp_path / "page.txt")], "ends in .html"),
        ([*runs, "--out", str(tmp_path)], "ends in .html"),
    ]:
        assert cli.run(["report", *words]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line


def test_a_served_page_says_which_state_it_shows(tmp_path: Path) -> None:
    text = report(open_runs([make_run(tmp_path / "run")]), address=lambda run, picture: "p.webp", version="7")
    assert (data_of(text)["live"], data_of(text)["version"]) == ("served", "7")
    assert any(
        "connect-src 'self'" in (meta["content"] or "") for meta in Page(text).named("meta") if "content" in meta
    )
    assert "base64" not in text.partition("</script>")[2].replace("sha256", "")


def test_a_single_column_has_no_before_and_after(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", previews=0)
    save_preview(folder / "previews" / "step-000000.png", {"sample": torch.zeros(9, 3, 8, 8)})
    (image,) = Page(report(open_runs([folder]))).named("img")
    assert (json.loads(image["data-columns"] or ""), image["data-rows"]) == (["sample"], "3")
