"""Progress, metrics.jsonl and records, with and without a terminal."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from translate.console import Console, current, printable, using
from translate.errors import UsageError
from translate.preview import save_preview
from translate.training import journal as journals
from translate.training.journal import Journal, truncate
from translate.training.trackers import Tracker, load_trackers


def steps(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in path.read_text(encoding="utf-8").splitlines()]


def write(path: Path, *numbers: int, torn: str = "") -> None:
    path.write_text("".join(f'{{"step": {n}}}\n' for n in numbers) + torn, encoding="utf-8")


def test_metrics_are_whole_lines_at_once(tmp_path: Path) -> None:
    with using(Console(quiet=True)), Journal() as journal:
        journal.begin(tmp_path, total=10, start=0)
        journal.metrics({"step": 1, "g/adv": 0.5})
        assert (tmp_path / "metrics.jsonl").read_bytes() == b'{"step": 1, "g/adv": 0.5}\n', "flushed, one line"
        journal.metrics({"step": 2, "g/adv": 0.25})
    assert steps(tmp_path / "metrics.jsonl") == [1, 2]


def test_a_resumed_run_drops_what_it_will_repeat(tmp_path: Path) -> None:
    write(tmp_path / "metrics.jsonl", 2, 4, 6, 8, torn='{"step": 9, "g')
    with using(Console(quiet=True)), Journal() as journal:
        journal.begin(tmp_path, total=10, start=6)
        journal.metrics({"step": 8})
    assert steps(tmp_path / "metrics.jsonl") == [2, 4, 6, 8]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


@pytest.mark.parametrize("torn", ['{"step": 3', '{"step": 3}', "{}\n", "null\n", "[]\n", "\n", "\x00\x00\n"])
def test_a_torn_or_foreign_line_is_dropped(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "m.jsonl"
    write(path, 1, 2, torn=torn)
    truncate(path, 5)
    assert steps(path) == [1, 2]


def test_nothing_is_rewritten_without_need(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    truncate(path, 3)
    assert not path.exists()
    write(path, 1, 2)
    before = path.stat().st_ino
    truncate(path, 2)
    assert path.stat().st_ino == before


def test_without_a_terminal_progress_is_plain_lines_now_and_then(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(journals.time, "monotonic", lambda: clock[0])
    with using(Console()), Journal() as journal:
        journal.begin(tmp_path, total=100, start=0)
        for step in range(1, 13):
            clock[0] += 1
            journal.progress(step, images_per_s=4, waiting=0.0, terms={"generators/adv": 0.5, "critic/gap": -1.25})
        journal.progress(100, images_per_s=4, waiting=0.5, terms={"p/x": 1.0, "q/x": 2.0})
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 4
    assert lines[0] == "step 1/100  0:01:39 left  4 images/s  adv 0.5  gap -1.25"
    assert lines[-1].startswith("step 100/100  0:00:00 left  4 images/s, 50% waiting for data  p/x 1  q/x 2")
    assert "\x1b" not in err
    assert "\r" not in err


def test_json_records_go_to_stdout_and_text_does_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with using(Console(json=True)), Journal() as journal:
        journal.begin(tmp_path, total=2, start=0)
        current().line("hello")
        journal.metrics({"step": 1, "g/adv": 0.5})
    out, err = capsys.readouterr()
    assert json.loads(out) == {"step": 1, "g/adv": 0.5}
    assert err == "hello\n"


def test_numbers_that_json_has_no_word_for_are_null(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # The gradient's norm in fp16, where a step overflowed.
    with using(Console(json=True)), Journal() as journal:
        journal.begin(tmp_path, total=10, start=0)
        journal.metrics({"step": 1, "g/grad_norm": math.nan, "d/grad_norm": math.inf})
    for text in (capsys.readouterr().out, (tmp_path / "metrics.jsonl").read_text(encoding="utf-8")):
        assert text == '{"step": 1, "g/grad_norm": null, "d/grad_norm": null}\n'


def test_quiet_says_nothing_but_warnings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(quiet=True)
    with using(console), Journal() as journal:
        journal.begin(tmp_path, total=2, start=0)
        current().line("hello")
        journal.progress(2, images_per_s=1, waiting=0, terms={})
        console.warning("beware")
    assert capsys.readouterr() == ("", "gantk: warning: beware\n")


def test_with_a_terminal_there_is_a_bar(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with using(Console()), Journal() as journal:
        journal.begin(tmp_path, total=8, start=2)
        journal.progress(4, images_per_s=3.5, waiting=0, terms={"g/adv": 0.125})
        current().line("a [bold]message[/bold]")
    err = capsys.readouterr().err
    assert "4/8" in err
    assert "3.5 images/s" in err
    assert "adv 0.125" in err
    assert "a [bold]message[/bold]" in err


@pytest.mark.parametrize("variable", [("NO_COLOR", ""), ("TERM", "dumb")])
def test_plain_lines_can_be_asked_for(monkeypatch: pytest.MonkeyPatch, variable: tuple[str, str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert Console().live
    monkeypatch.setenv(*variable)
    assert not Console().live


class Listener:
    """A tracker that notes what it hears, and fails where it is told to."""

    def __init__(self, fails: str = "") -> None:
        self.heard: list[Any] = []
        self.fails = fails

    def _note(self, *event: Any) -> None:
        self.heard.append(event)
        if event[0] == self.fails:
            raise SystemExit("no server")

    def begin(self, folder: Path, settings: Mapping[str, Any], start: int) -> None:
        self._note("begin", folder, settings, start)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._note("scalars", step, dict(values))

    def picture(self, step: int, file: Path) -> None:
        self._note("picture", step, file)

    def close(self) -> None:
        self._note("close")


def follow(folder: Path, trackers: Mapping[str, Tracker]) -> None:
    (folder / "config.toml").write_text('plugin = "toy"\n[run]\nbatch = 2\n', encoding="utf-8")
    with using(Console(quiet=True)), Journal(trackers) as journal:
        journal.begin(folder, total=2, start=0)
        for step in (1, 2):
            journal.metrics({"step": step, "g/adv": 0.5})
        save_preview(folder / "p.png", {"a": torch.zeros(1, 3, 8, 8)})
        journal.picture(2, folder / "p.png")


def test_a_tracker_hears_the_whole_run(tmp_path: Path) -> None:
    listener = Listener()
    follow(tmp_path, {"mine": listener})
    assert listener.heard == [
        ("begin", tmp_path, {"plugin": "toy", "run": {"batch": 2}}, 0),
        ("scalars", 1, {"g/adv": 0.5}),
        ("scalars", 2, {"g/adv": 0.5}),
        ("picture", 2, tmp_path / "p.png"),
        ("close",),
    ]


@pytest.mark.parametrize("event", ["begin", "scalars", "picture", "close"])
def test_a_tracker_that_fails_is_one_warning_and_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], event: str
) -> None:
    broken, sound = Listener(event), Listener()
    follow(tmp_path, {"broken": broken, "sound": sound})
    assert steps(tmp_path / "metrics.jsonl") == [1, 2]
    assert len(sound.heard) == 5
    assert broken.heard[-1][0] == event
    warning = "gantk: warning: tracker broken failed and is left out from here on: SystemExit: no server\n"
    assert capsys.readouterr().err == warning


def test_trackers_are_found_by_entry_point() -> None:
    with pytest.raises(UsageError, match=r"--tracker tensorbord: expected one of .*\(did you mean tensorboard\?\)"):
        load_trackers(["tensorbord"])


def test_hostile_text_stays_on_its_line_and_does_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\x1b[2J\nb\udcff\u202egnp.jpg"
    assert printable(name) == "a\\x1b[2J\\nb\\udcff\\u202egnp.jpg"
    Console(json=True).error(f"{name}: unreadable", 2)
    out, err = capsys.readouterr()
    assert err == "gantk: error: a\\x1b[2J\\nb\\udcff\\u202egnp.jpg: unreadable\n"
    assert json.loads(out) == {"error": f"{name}: unreadable", "exit_code": 2}


def test_a_table_is_aligned_columns_or_records(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"name": "a", "state": "ready"}, {"name": "long", "state": "off"}]
    Console().table(rows)
    assert capsys.readouterr().out == "NAME  STATE\na     ready\nlong  off\n"
    Console(json=True).table(rows)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == rows
