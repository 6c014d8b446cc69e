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
        "processes was not recorded, it is 2 from here on",
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
    with pytest.raises(UsageError, match=r"--dropout was none in .* and cannot become 0\.1"):
        folder.check_same(tmp_path, SAVED.replace("[run]", "dropout = 0.1\n[run]"))


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (SAVED.replace("[run]", "later = 3\n[run]"), r"has model\.later, which gantk \S+ does not know"),
        (SAVED + "later = 3\n", r"has run\.later, which gantk \S+ does not know"),
        (SAVED + "later = \n", r"config\.toml: not valid TOML"),
        ("model = 3\n" + SAVED.replace("[model]\nlatent = 100\n", ""), r"config\.toml: expected a table, \[model\]"),
    ],
)
def test_what_the_installed_plugin_does_not_know_is_refused(tmp_path: Path, config: str, reason: str) -> None:
    (tmp_path / folder.CONFIG).write_text(config, encoding="utf-8")
    with pytest.raises(UsageError, match=reason):
        folder.check_same(tmp_path, SAVED)


@pytest.mark.parametrize("name", ["gantk", "plugin gan"])
@pytest.mark.parametrize(("recorded", "newer"), [("99.0", True), ("0.99.1", True), ("0.0.1", False), ("0.1.99", False)])
def test_a_run_of_a_newer_version_is_refused_by_version(tmp_path: Path, name: str, recorded: str, newer: bool) -> None:
    value = recorded if name == "gantk" else f"gantk {recorded}"
    (tmp_path / circumstances.FILE).write_text(json.dumps({name: value}), encoding="utf-8")
    if newer:
        with pytest.raises(
            UsageError, match=rf"was trained by gantk {recorded}, newer than the installed gantk 0\.1\.0"
        ):
            circumstances.check_not_older(tmp_path, "gan")
    else:
        circumstances.check_not_older(tmp_path, "gan")


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="the system has no SIGUSR1")
def test_sigusr1_asks_for_a_save_and_stops_nothing() -> None:
    stop = StopSignal()
    with stop.listening():
        os.kill(os.getpid(), signal.SIGUSR1)
        assert stop.take_save()
        assert not stop.take_save()
        assert not stop.received
