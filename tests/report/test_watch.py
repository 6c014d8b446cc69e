"""``gantk watch`` in a browser: a run while it trains, and models to try."""

from __future__ import annotations

import base64
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from PIL import Image
from report_browser import END, HOME, RIGHT, Browser
from report_models import sampler, translator
from report_runs import make_run

from translate.cli import app as cli
from translate.cli import watch as command
from translate.console import Console, using
from translate.model import Model
from translate.preview import save_preview
from translate.report import watch as watching
from translate.report.server import Server
from translate.report.trial import Trial
from translate.report.watch import Watch
from translate.training.lock import locked


@contextmanager
def looked_at(browser: Browser, server: Server) -> Iterator[None]:
    """The server's page, of which the browser may have nothing to say and which asks nobody else."""
    with server.serving():
        browser.open("about:blank")
        browser.faults(), browser.hosts()
        browser.open(server.address)
        yield
        assert browser.faults() == []
        assert browser.hosts() <= {"127.0.0.1", ""}
        browser.open("about:blank")


def step(browser: Browser) -> str:
    return str(browser.value("#when-step"))


def test_a_new_preview_shows_within_two_seconds(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "GRACE", 1.5)
    folder = make_run(tmp_path / "run")
    with locked(folder):
        watch = Watch(folder)
        ending = threading.Thread(target=watch.until_it_ends)
        ending.start()
        with looked_at(browser, Server(watch)):
            assert step(browser) == "400"
            assert browser.value(".state") == "training"
            browser.press("#log", " ")
            time.sleep(0.6)
            save_preview(folder / "previews" / "step-000500.png", {"a": torch.zeros(2, 3, 32, 32)})
            begun = time.monotonic()
            browser.until(lambda: step(browser) == "500", seconds=10)
            assert time.monotonic() - begun < 2
            assert browser.value("#log", "checked"), "what the reader has set stays"
            browser.press("#when", HOME)
            time.sleep(0.6)
            save_preview(folder / "previews" / "step-000600.png", {"a": torch.zeros(2, 3, 32, 32)})
            browser.until(lambda: browser.value("#when", "max") == "6")
            assert step(browser) == "0", "who looks at an early step is not moved on"
            (folder / "run.lock").unlink()
            browser.until(lambda: "has ended" in browser.value("#stale"))
            assert browser.value(".state") == "complete"
            ending.join(timeout=10)
            assert not ending.is_alive()


def test_the_command_ends_with_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "GRACE", 0.0)
    folder = make_run(tmp_path / "run")
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    lines: list[str] = []
    with using(Console(lines=lines.append)), locked(folder):
        timer = threading.Timer(0.7, (folder / "run.lock").unlink)
        timer.start()
        assert command.watch(command.Options(path=folder, open=True)) is None
        timer.join()
    assert opened[0] in lines[0]
    assert "the run has ended" in lines[1]


def test_it_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_run(tmp_path / "run")
    with socket.socket() as taken, locked(folder):
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.run(["watch", str(folder), "--port", str(port)]) == 2
        assert f"--port {port}: " in capsys.readouterr().err
    assert cli.run(["watch", str(folder)]) == 2
    assert "it has no model yet" in capsys.readouterr().err
    assert cli.run(["watch", str(tmp_path / "nothing")]) == 2
    assert "no such model" in capsys.readouterr().err


def colour(browser: Browser, x: float) -> list[int]:
    """Of the compared pictures, at a share of their width."""
    script = """
        const canvas = document.querySelector("#pair canvas");
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
        copy.drawImage(canvas, 0, 0);
        return [...copy.getImageData(Math.floor(canvas.width * arguments[0]), 1, 1, 1).data].slice(0, 3);"""
    found: list[int] = browser.run(script, x)
    return found


def near(found: list[int], wanted: tuple[int, int, int]) -> bool:
    return all(abs(one - two) < 8 for one, two in zip(found, wanted, strict=True))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.new("RGB", (40, 30), (200, 100, 50)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


DROP = """
    const bytes = Uint8Array.from(atob(arguments[0]), (letter) => letter.charCodeAt(0));
    const data = new DataTransfer();
    data.items.add(new File([bytes], "photo.png", { type: "image/png" }));
    for (const kind of ["dragover", "drop"]) {
      const event = new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: data });
      document.querySelector("#drop").dispatchEvent(event);
    }"""


def test_a_photo_is_dropped_and_translated(browser: Browser, photo: Path) -> None:
    with looked_at(browser, Server(Trial(Model(translator())))):
        browser.run(DROP, base64.b64encode(photo.read_bytes()).decode())
        browser.until(lambda: browser.one("#pair").is_displayed())
        assert near(colour(browser, 0.9), (255, 0, 0))
        assert near(colour(browser, 0.1), (200, 100, 50))
        assert browser.one("#message").text.startswith("40x30 → 40x30 · ")
        browser.press("#set-0-0", "blue")
        browser.until(lambda: near(colour(browser, 0.9), (0, 0, 255)))
        browser.press("#set-0-1", HOME)
        browser.until(lambda: near(colour(browser, 0.9), (200, 100, 50)))
        browser.press("#direction", "double")
        browser.until(lambda: "80x60" in browser.one("#message").text)
        assert near(colour(browser, 0.9), (55, 155, 205))
        browser.press("#share", END)
        assert near(colour(browser, 0.9), (200, 100, 50))
        browser.click_at("#pair canvas", 0.5)
        assert near(colour(browser, 0.9), (55, 155, 205))
        assert browser.one("#save").get_attribute("href").startswith("data:image/webp")


def test_a_file_that_is_no_photo_is_one_line(browser: Browser, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    with looked_at(browser, Server(Trial(Model(translator())))):
        browser.one("#photo").send_keys(str(tmp_path / "text.png"))
        browser.until(lambda: "not an image" in browser.one("#message").text)
        browser.one("#photo").send_keys(str(photo))
        browser.until(lambda: browser.one("#pair").is_displayed())
        (tmp_path / "large.png").touch()
        with (tmp_path / "large.png").open("r+b") as file:
            file.truncate((64 << 20) + 1)
        browser.one("#photo").send_keys(str(tmp_path / "large.png"))
        browser.until(lambda: browser.one("#message").text == "large.png: larger than 64 MiB")


def test_pictures_are_drawn_and_walked_through(browser: Browser) -> None:
    def sources() -> list[str]:
        found: list[str] = browser.run("return [...document.querySelectorAll('#samples img')].map((each) => each.src)")
        return found

    with looked_at(browser, Server(Trial(Model(sampler())))):
        first = browser.until(sources)
        assert len(first) == 16
        browser.one("[data-next]").click()
        browser.until(lambda: sources()[0] != first[0])
        assert browser.one("#seed-0").get_property("value") == "1"
        browser.press("#count-0", HOME)
        browser.until(lambda: len(sources()) == 1)
        browser.press("#set-0-0", HOME)
        browser.until(lambda: browser.one("#message").text.endswith(" s"))
        browser.one("[data-walk]").click()
        browser.until(lambda: browser.one("#walk").is_displayed())
        browser.press("#set-0-0", END)
        browser.until(lambda: browser.one("#walk-at").get_property("max") == "15")
        time.sleep(0.4)
        start = browser.one("#step").get_attribute("src")
        browser.press("#walk-at", END)
        assert browser.one("#step").get_attribute("src") != start
        assert browser.one("#step").get_attribute("alt") == "Picture 16 of 16 on the way"
        browser.press("#walk-at", HOME, RIGHT)
        assert browser.one("#step").get_attribute("alt") == "Picture 2 of 16 on the way"
        browser.press("#set-0-1", "x")
        browser.until(lambda: "does not know the word" in browser.one("#message").text)
