"""What a resumed run says of its circumstances, its settings and signals."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from listening import listening
from translate.errors import UsageError
from translate.training import circumstances, folder
from translate.training.signals import StopSignal


def test_changes_are_reported_and_recorded(tmp_path: Path) -> None:
    lines: list[str] = []
    with listening(lines):
        circumstances.note(tmp_path, {"torch": "2.10", "precision": "fp32"})
    assert lines == []
    with listening(lines):
        circumstances.note(tmp_path, {"torch": "2.11", "precision": "fp32", "processes": "2"})
    assert lines == [
        "torch was 2.10, it is 2.11 from here on",
        "processes was None, it is 2 from here on",
    ]
    assert json.loads((tmp_path / circumstances.FILE).read_text("utf-8"))["torch"] == "2.11"
    (tmp_path / circumstances.FILE).write_text("{", encoding="utf-8")
    with listening(lines):
        circumstances.note(tmp_path, {"torch": "2.11"})
    assert "is damaged" in lines[-1]


SAVED = 'plugin = "gan"\n[model]\nlatent = 100\n[run]\nbatch = 4\nsteps = 10\n'


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (SAVED, []),
        (
            SAVED.replace("steps = 10", "steps = 20"),
            ["--steps was 10, it is 20: schedules stretch (--schedule-steps keeps them)"],
        ),
        (
            SAVED.replace("[run]", "dropout = 0.5\n[run]"),
            ["--dropout is new since the run began; it has its default, 0.5"],
        ),
    ],
)
def test_a_resumed_run_says_what_its_settings_mean(tmp_path: Path, now: str, told: list[str]) -> None:
    (tmp_path / folder.CONFIG).write_text(SAVED, encoding="utf-8")
    lines: list[str] = []
    with listening(lines):
        folder.check_same(tmp_path, now)
    assert lines == told


def test_a_new_setting_with_another_value_than_its_default_is_refused(tmp_path: Path) -> None:
    (tmp_path / folder.CONFIG).write_text(SAVED, encoding="utf-8")
    with pytest.raises(UsageError, match=r"--dropout was None in .* and cannot become 0\.1"):
        folder.check_same(tmp_path, SAVED.replace("[run]", "dropout = 0.1\n[run]"))


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="the system has no SIGUSR1")
def test_sigusr1_asks_for_a_save_and_stops_nothing() -> None:
    stop = StopSignal()
    with stop.listening():
        os.kill(os.getpid(), signal.SIGUSR1)
        assert stop.take_save()
        assert not stop.take_save()
        assert not stop.received
