"""What people see, in a real browser: the demo's report and the page about the API."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.stands.running_service import RunningService, running_service, service_environment

pytestmark = pytest.mark.flow


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a screen."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed (on Debian: apt-get install chromium)")
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Path:
    """The report of a demo on three photos, two of them of one man."""
    folder = tmp_path_factory.mktemp("report")
    photos = folder / "photos"
    photos.mkdir()
    for name in ("obama_1_240p.jpg", "obama_and_biden.jpg", "coffee.png"):
        (photos / name).write_bytes((shared / "photos" / name).read_bytes())
    command = [sys.executable, "-m", "media_inference", "demo", str(photos), "--out", str(folder / "out")]
    subprocess.run(command, cwd=folder, env=service_environment(folder / "data"), check=True, capture_output=True)
    return folder / "out" / "report.html"


class Watched:
    """A page, with what it complained of and what it asked for."""

    def __init__(self, browser: Browser, width: int = 1280) -> None:
        self.page: Page = browser.new_page(viewport={"width": width, "height": 900})
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda line: self.complaints.append(line.text) if line.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))


def test_the_report_shows_every_picture_and_asks_for_nothing_else(browser: Browser, report: Path) -> None:
    watched = Watched(browser)
    watched.page.goto(report.as_uri())
    watched.page.evaluate("document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
    watched.page.wait_for_function("[...document.images].every(image => image.complete)")
    shown = watched.page.evaluate("[...document.images].map(image => image.naturalWidth)")
    assert len(shown) >= 3
    assert min(shown) > 0
    assert watched.complaints == []
    assert {url.split("://")[0] for url in watched.asked} == {"file"}
    text = watched.page.inner_text("body")
    for name in ("obama_1_240p.jpg", "obama_and_biden.jpg", "coffee.png"):
        assert name in text
    watched.page.close()


@pytest.mark.parametrize("width", [360, 1280])
def test_the_report_needs_no_sideways_scrolling(browser: Browser, report: Path, width: int) -> None:
    watched = Watched(browser, width)
    watched.page.goto(report.as_uri())
    assert watched.page.evaluate("document.documentElement.scrollWidth") <= width
    watched.page.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with running_service(tmp_path_factory.mktemp("pages"), {"AUTH_DISABLED": "true"}, wait=False) as service:
        yield service


def test_the_page_about_the_api_names_every_route_and_loads_nothing_from_elsewhere(
    browser: Browser, service: RunningService
) -> None:
    watched = Watched(browser)
    watched.page.goto(f"{service.url}/docs")
    text = watched.page.inner_text("body")
    for path in service.request("GET", "/openapi.json").json()["paths"]:
        assert path in text
    assert watched.complaints == []
    assert all(url.startswith(service.url) for url in watched.asked)
    watched.page.close()


def test_the_log_of_a_service_that_is_open_to_all_begins_with_saying_so(service: RunningService) -> None:
    lines = [json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{")]
    (line,) = [line for line in lines if line["event"] == "auth.disabled"]
    assert (line["level"], line["address"]) == ("warning", "127.0.0.1")


def test_the_page_about_the_api_may_ask_the_api(browser: Browser, service: RunningService) -> None:
    watched = Watched(browser)
    watched.page.goto(f"{service.url}/docs#get_version")
    form = watched.page.locator("#get_version form")
    form.locator("button").click()
    shown = watched.page.locator("#get_version form + pre")
    shown.filter(has_text="version").wait_for()
    assert shown.inner_text().startswith("200")
    assert watched.complaints == []
    watched.page.close()
