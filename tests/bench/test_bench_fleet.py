"""bench/fleet.py at its smallest: its threads do every photo, and a fleet that does not is refused."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("ray")
BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCH)
    return importlib.import_module("fleet")


def test_the_scheduler_alone(
    fleet: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "out.jsonl"
    words = ["overhead", "--on", "threads", "--count", "40", "--ms", "1", "--rounds", "2", "--json", str(file)]
    monkeypatch.setattr(sys, "argv", ["fleet.py", *words])
    fleet.main()
    (record,) = (json.loads(line) for line in file.read_text(encoding="utf-8").splitlines())
    assert (record["bench"], record["what"], record["on"], record["count"]) == ("fleet", "overhead", "threads", 40)
    assert len(record["plain"]) == len(record["seconds"]) == 2
    assert min(record["seconds"]) >= 0.001 * 40 / 2
    assert "overhead %" in capsys.readouterr().out


def test_a_fleet_that_loses_a_photo_is_no_result(fleet: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def lossy(self: Any, jobs: Any) -> Any:
        return fleet.Outcome([fleet.entry_of(job, "done", output=job.target) for job in jobs[1:]])

    monkeypatch.setattr(fleet.Sleeper, "do", lossy)
    monkeypatch.setattr(sys, "argv", ["fleet.py", "overhead", "--on", "threads", "--count", "9", "--ms", "0"])
    with pytest.raises(fleet.SoakError, match="of 9 photos reported"):
        fleet.main()
