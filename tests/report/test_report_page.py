"""The report in a browser: every control is moved, nothing is logged and nothing asked of the network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from report_browser import END, HOME, LEFT, RIGHT, TAB, Browser
from report_runs import make_run

from translate.files import write_text_whole
from translate.preview import save_preview
from translate.reading import STANDARD
from translate.report.folder import open_runs
from translate.report.page import report
from translate.report.sheet import sheet
from translate.training.lock import locked


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, of which the second has other previews."""
    folder = tmp_path_factory.mktemp("runs")
    runs = open_runs([make_run(folder / "one"), make_run(folder / "two", seed=1, previews=3)])
    (folder / "page.html").write_text(report(runs), encoding="utf-8")
    return folder / "page.html"


@pytest.fixture
def opened(browser: Browser, page: Path) -> Iterator[Browser]:
    """The page as at first, in a browser that may have nothing to say of it at the end."""
    browser.open("about:blank")
    browser.prefer("light")
    browser.faults(), browser.hosts()
    browser.open(page.as_uri())
    browser.run("sessionStorage.clear();")
    browser.open(page.as_uri())
    yield browser
    assert browser.faults() == []
    assert browser.hosts() == {""}


def shown(browser: Browser) -> list[str]:
    """The steps of the pictures that can be seen, panel by panel."""
    return [image.get_attribute("data-step") for image in browser.all(".grids img") if image.is_displayed()]


def test_the_slider_goes_through_the_previews(opened: Browser) -> None:
    assert shown(opened) == ["400", "400"]
    opened.press("#when", HOME)
    assert shown(opened) == ["0", "0"]
    opened.press("#when", RIGHT)
    assert shown(opened) == ["100", "0"], "the latest of each run at that time"
    assert opened.one("#when").get_attribute("aria-valuetext") == "step 100"
    opened.one("#to-best").click()
    assert shown(opened) == ["300", "200"]
    assert "best step 300" in opened.one("[data-panel='0'] .at").text
    assert len(opened.all("#when-marks .best")) == 2
    opened.press("#when", HOME)
    opened.one("#play").click()
    opened.until(lambda: shown(opened) == ["400", "400"])
    opened.until(lambda: opened.one("#play").get_attribute("aria-pressed") == "false")


def pixel(browser: Browser, x: float, y: float = 0.5) -> list[int]:
    """Red, green and blue of the first canvas, at shares of its sides."""
    script = """
        const canvas = document.querySelector("[data-panel='0'] canvas");
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
        copy.drawImage(canvas, 0, 0);
        const at = [Math.floor(canvas.width * arguments[0]), Math.floor(canvas.height * arguments[1])];
        return [...copy.getImageData(...at, 1, 1).data].slice(0, 3);"""
    found: list[int] = browser.run(script, x, y)
    return found


def test_before_and_after_are_divided_where_the_reader_puts_the_border(opened: Browser) -> None:
    opened.one("label:has(#view-pair)").click()
    assert shown(opened) == []
    opened.until(lambda: opened.one("[data-panel='0'] canvas").size["width"] > 300)
    share = "[data-panel='0'] [data-share]"
    opened.press(share, HOME)
    after = pixel(opened, 0.8)
    opened.press(share, END)
    before = pixel(opened, 0.8)
    assert min(before) > 180 > 80 > max(after), "a ramp from black to white, and its negative"
    opened.run("document.querySelector(arguments[0]).value = 51", share)
    opened.press(share, LEFT)
    assert pixel(opened, 0.8) == after
    assert max(pixel(opened, 0.2)) < 80, "the ramp itself"
    opened.click_at("[data-panel='0'] canvas", 0.75)
    assert 74 <= int(opened.one(share).get_property("value")) <= 76
    opened.press("#after-0", "rec")
    assert "right rec_a" in opened.one("[data-panel='0'] canvas").get_attribute("aria-label")
    opened.press("#row-0", "2")
    assert "Picture 2" in opened.one("[data-panel='0'] canvas").get_attribute("aria-label")


def curves(browser: Browser, chart: int = 0) -> int:
    return len(browser.all(f"[data-chart='{chart}'] .curve"))


def test_curves_are_toggled_smoothed_and_read(opened: Browser) -> None:
    titles = [figure.text.split("\n")[0] for figure in opened.all(".chart figcaption")]
    adv = titles.index("adv")
    assert curves(opened, adv) == 2
    assert len(opened.all(f"[data-chart='{adv}'] .note")) == 2
    opened.one("#show-1").click()
    assert curves(opened, adv) == 1
    assert not opened.one("[data-panel='1']").is_displayed()
    opened.one("#show-1").click()
    line = f"[data-chart='{adv}'] .curve"
    before = opened.one(line).get_attribute("d")
    opened.press("#smooth", END)
    smooth = opened.one(line).get_attribute("d")
    assert smooth != before
    assert len(opened.all(f"[data-chart='{adv}'] .raw")) == 2
    opened.one("#log").click()
    assert opened.one(line).get_attribute("d") != smooth
    assert "log scale" in opened.one(f"[data-chart='{adv}'] svg").get_attribute("aria-label")
    opened.press(f"[data-chart='{adv}'] svg", LEFT)
    assert opened.one(f"[data-chart='{adv}'] .readout").text.startswith("Step 400: one 0.")
    opened.press(f"[data-chart='{adv}'] svg", HOME)
    assert opened.one(f"[data-chart='{adv}'] .readout").text.startswith("Step 20: ")
    frechet = next(k for k, title in enumerate(titles) if title.startswith("frechet"))
    opened.press(f"[data-chart='{frechet}'] svg", END)
    assert "± 0.49" in opened.one(f"[data-chart='{frechet}'] .readout").text
    opened.one("details.table summary").click()
    assert opened.one("details.table table").is_displayed()


def test_a_reload_keeps_what_the_reader_has_set(opened: Browser) -> None:
    opened.press("#when", HOME)
    opened.one("#log").click()
    opened.one("#show-1").click()
    opened.driver.refresh()
    assert shown(opened) == ["0"]
    assert opened.one("#log").is_selected()
    opened.press("#when", END)
    opened.driver.refresh()
    assert shown(opened) == ["400"]


def test_all_controls_have_names_and_a_keyboard_reaches_them(opened: Browser) -> None:
    controls = opened.all("main input, main select, main button, main svg[role=img], main canvas, main summary")
    unnamed = [
        each.get_attribute("outerHTML")[:90] for each in controls if each.is_displayed() and not each.accessible_name
    ]
    assert unnamed == []
    opened.run("document.activeElement.blur()")
    reached = []
    for _ in range(8):
        opened.driver.switch_to.active_element.send_keys(TAB)
        reached.append(opened.driver.switch_to.active_element.get_attribute("id"))
    assert {"show-0", "show-1", "when", "play", "to-best"} <= set(reached)


@pytest.mark.parametrize(("scheme", "width"), [("dark", 1280), ("light", 390)])
def test_it_is_dark_where_the_system_is_and_fits_a_phone(opened: Browser, scheme: str, width: int) -> None:
    opened.prefer(scheme, width)
    colour = opened.run("return getComputedStyle(document.body).backgroundColor")
    brightness = sum(json.loads(f"[{colour[4:-1]}]")) / 3
    assert (brightness < 64) == (scheme == "dark")
    assert opened.run("return document.documentElement.scrollWidth") <= width


def test_a_page_loads_itself_anew_while_the_run_trains_and_then_no_more(browser: Browser, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    path = folder / "report.html"
    with locked(folder):
        text = report(open_runs([folder]), every=0)
        assert '"every": 4' in text
        write_text_whole(path, text.replace('"every": 4', '"every": 0.3'))
        browser.faults()
        browser.open(path.as_uri())
        browser.until(lambda: shown(browser) == ["400"])
        save_preview(folder / "previews" / "step-000500.png", {"a": torch.zeros(2, 3, 32, 32)})
    write_text_whole(path, report(open_runs([folder])))
    browser.until(lambda: browser.one("#when-step").text == "500")
    assert browser.one(".state").text == "complete"
    assert browser.run("return JSON.parse(document.querySelector('#data').textContent).live") == ""
    assert browser.faults() == []


def test_a_contact_sheet_is_divided_where_the_reader_puts_the_border(browser: Browser, tmp_path: Path) -> None:
    for name in ("before", "after"):
        save_preview(tmp_path / f"{name}.png", {"a": torch.zeros(1, 3, 64, 64)})
    done = {"input": str(tmp_path / "before.png"), "output": str(tmp_path / "after.png"), "status": "done"}
    failed = {"input": str(tmp_path / "broken.png"), "output": None, "status": "failed", "reason": "not an image"}
    (tmp_path / "sheet.html").write_text(sheet("photos", [done, done, failed], STANDARD), encoding="utf-8")
    browser.prefer("light")
    browser.faults(), browser.hosts()
    browser.open((tmp_path / "sheet.html").as_uri())

    def cuts() -> list[str]:
        script = "return [...document.querySelectorAll('.before')].map((each) => each.style.clipPath)"
        found: list[str] = browser.run(script)
        return found

    assert cuts() == ["inset(0px 50% 0px 0px)"] * 2
    browser.press("#all-shares", END)
    assert cuts() == ["inset(0px 0% 0px 0px)"] * 2
    browser.click_at(".lap", 0.25)
    assert cuts() == ["inset(0px 75% 0px 0px)", "inset(0px 0% 0px 0px)"]
    browser.one("#only-failed").click()
    assert [shot.get_attribute("data-status") for shot in browser.all(".shot") if shot.is_displayed()] == ["failed"]
    assert browser.faults() == []
    assert browser.hosts() == {""}
