"""One console: what it receives, and in which thread."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from translate.console import Console, current, speaking, using


def test_a_listener_receives_what_would_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    lines: list[str] = []
    records: list[Any] = []
    with using(Console(lines=lines.append, records=records.append)):
        current().line("a\nb")
        current().warning("careful")
        current().detail("unseen")
        current().record({"step": 1})
        with speaking(leads=False):
            current().line("of another process")
            current().record({"step": 2})
    assert lines == ["a\\nb", "gantk: warning: careful"]
    assert records == [{"step": 1}]
    assert capsys.readouterr() == ("", "")


def test_quiet_leaves_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    with using(current().quieted(True)):
        current().line("text")
        current().warning("careful")
    assert capsys.readouterr() == ("", "gantk: warning: careful\n")


def test_threads_listen_each_to_itself() -> None:
    heard: dict[str, list[str]] = {"first": [], "second": []}
    both_in, first_out = threading.Barrier(2), threading.Event()

    def work(name: str) -> None:
        with using(Console(lines=heard[name].append)):
            both_in.wait(5)
            current().line(name)
            if name == "second":
                first_out.wait(5)
                current().line("alone")
        first_out.set()

    before = current()
    threads = [threading.Thread(target=work, args=(name,)) for name in heard]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == {"first": ["first"], "second": ["second", "alone"]}
    assert current() is before


def test_a_worker_thread_reports_where_its_command_does() -> None:
    lines: list[str] = []
    with using(Console(lines=lines.append)):
        worker = threading.Thread(target=lambda: current().line("from a thread"))
        worker.start()
        worker.join()
    assert lines == ["from a thread"]


def test_what_is_reported_may_be_copied(capsys: pytest.CaptureFixture[str]) -> None:
    copies: list[str] = []
    with using(Console(quiet=True).copied_to(copies)):
        current().line("left\nout")
        current().warning("odd")
        current().detail("not this")
    assert copies == ["left\\nout", "odd"]
    assert capsys.readouterr().err == "gantk: warning: odd\n"
