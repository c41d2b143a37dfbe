"""report.html in a real browser (Debian's chromium, by Playwright): three clicks, keys, deep links, nothing fetched."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.report.html.page import explorer
from tests.console import ROOT
from tests.report.hostile import HOSTILE, hostile_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
SHOTS = ROOT / "build" / "screenshots"

playwright = pytest.importorskip("playwright.sync_api", reason="the Python package playwright is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)")


class Seen:
    """One page and everything it said or asked for."""

    def __init__(self, browser: Any, place: Path, scheme: str = "light") -> None:
        self.console: list[str] = []
        self.requests: list[str] = []
        self.page = browser.new_page(viewport={"width": 1500, "height": 900}, color_scheme=scheme)
        self.page.on("console", lambda message: self.console.append(message.text))
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.address = place.as_uri()

    def open(self, fragment: str = "") -> Any:
        self.page.goto(self.address + fragment)
        self.page.wait_for_selector("body[data-ready]")
        return self.page

    def shot(self, name: str) -> Path:
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / name)
        return SHOTS / name

    def clean(self) -> bool:
        return not self.console and all(url.partition("#")[0] == self.address for url in self.requests)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with tempfile.TemporaryDirectory(prefix="unwindlab-chromium-") as home, playwright.sync_playwright() as driver:
        environment = os.environ | {"HOME": home, "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home}
        made = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, env=environment)
        yield made
        made.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("explorer") / "report.html"
    path.write_bytes(explorer(hostile_run()))
    return path


def test_from_summary_to_stacks_in_three_clicks(browser: Any, place: Path) -> None:
    seen = Seen(browser, place)
    page = seen.open()
    page.click("#summary tr[data-unwinder=fp] td.missing button")
    page.click("#functions-grid .row:has-text('onerror')")
    page.click("#instructions-grid .row:has-text('●')")
    stack = page.locator("#stop table.stack")
    assert "work_1" not in stack.inner_text()
    assert stack.locator("tr.first").inner_text().split("\t")[2:] == ["◀ first", "absent"]
    assert page.locator("#stop .register").count() >= 2
    assert "frame 1: " in page.locator("#stop table.words tr.live").inner_text()
    assert seen.shot("explorer-light.png").stat().st_size > 10_000
    assert seen.clean(), (seen.console, seen.requests)


def test_a_hostile_name_stays_text(browser: Any, place: Path) -> None:
    seen = Seen(browser, place)
    page = seen.open()
    page.click("#summary tr[data-unwinder=fp] td.missing button")
    assert page.locator("#functions-grid").inner_text().count(HOSTILE) == 1
    assert page.locator("main img, main script").count() == 0
    assert page.title().startswith("unwindlab run ")
    assert seen.clean(), (seen.console, seen.requests)


def test_a_link_leads_to_its_instruction_and_back(browser: Any, place: Path) -> None:
    seen = Seen(browser, place)
    page = seen.open()
    page.click("#summary tr[data-unwinder=fp] td.missing button")
    page.click("#functions-grid .row >> nth=1")
    page.keyboard.press("n")
    link, about = page.evaluate("location.hash"), page.locator("#stop-about").inner_text()
    again = Seen(browser, place)
    assert again.open(link).locator("#stop-about").inner_text() == about
    assert again.page.evaluate("location.hash") == link
    short = "/".join(link.split("/")[:3])
    assert Seen(browser, place).open(short).locator("#stop-about").inner_text() == about
    lost = Seen(browser, place)
    assert "no image" in lost.open("#nowhere/f/0x1").locator("#status").inner_text()


def test_next_and_previous_failure_visit_every_one(browser: Any, place: Path) -> None:
    seen = Seen(browser, place)
    page = seen.open()
    page.click("#summary tr[data-unwinder=fp] td.missing button")
    hits = page.locator("#functions-grid .row")
    wanted = sum(int(hits.nth(i).locator("span").nth(1).inner_text()) for i in range(hits.count()))
    visited = []
    for _ in range(wanted + 1):
        page.keyboard.press("n")
        visited.append(page.evaluate("location.hash"))
        assert page.locator("#instructions-grid .row[aria-selected=true] .cell.focus").inner_text() == "M"
    assert len(set(visited)) == wanted > 1
    assert visited[-1] == visited[0]
    page.keyboard.press("p")
    assert page.evaluate("location.hash") == visited[-2]
    assert seen.clean(), (seen.console, seen.requests)


def test_the_keyboard_alone_is_enough(browser: Any, place: Path) -> None:
    page = Seen(browser, place).open()
    page.locator("#summary tr[data-unwinder=fp] td.missing button").first.focus()
    for key in ("Enter", "2", "ArrowDown", "Enter", "End", "ArrowRight"):
        page.keyboard.press(key)
    grid = page.locator("#instructions-grid")
    active = page.locator(f"[id='{grid.get_attribute('aria-activedescendant')}']")
    assert active.get_attribute("role") == "row"
    assert active.get_attribute("aria-selected") == "true"
    assert page.evaluate("document.activeElement.id") == "instructions-grid"
    assert page.locator("#stop tr.focus button").get_attribute("aria-current") == "true"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "stop"


def test_light_and_dark(browser: Any, place: Path) -> None:
    grounds = {}
    for scheme in ("light", "dark"):
        seen = Seen(browser, place, scheme)
        page = seen.open()
        grounds[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        seen.shot(f"explorer-{scheme}-first.png")
    assert grounds["light"] == "rgb(255, 255, 255)"
    assert grounds["dark"] != grounds["light"]


def test_verdicts_stay_in_sight_on_a_telephone(browser: Any, place: Path) -> None:
    """400 px wide: nothing scrolls the page sideways, and the cells stand at the right of their pane."""
    seen = Seen(browser, place)
    seen.page.set_viewport_size({"width": 400, "height": 800})
    page = seen.open()
    page.click("#summary tr[data-unwinder=fp] td.missing button")
    page.click("#functions-grid .row >> nth=0")
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    cell = page.locator("#instructions-grid .row[aria-selected=true] .cell.focus")
    box = cell.bounding_box()
    assert cell.inner_text() == "M"
    assert box is not None and box["x"] > 200 and box["x"] + box["width"] <= 400
    page.locator("#instructions-grid").evaluate("(grid) => { grid.scrollLeft = 1e6; }")
    assert cell.bounding_box()["x"] == pytest.approx(box["x"], abs=1)
    seen.shot("explorer-400.png")
    assert seen.clean(), (seen.console, seen.requests)


def test_the_table_is_readable_without_javascript(browser: Any, place: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(place.as_uri())
    assert page.locator("#summary").is_visible()
    assert "MISSING" in page.locator("#summary table").first.inner_text()
    assert not page.locator("#functions").is_visible()
    context.close()
