"""Both pages in a real browser, at the size of a projector, in light and dark."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from dashboard_runs import HOSTILE, damage, records, write_run

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DONE = '[data-testid="stApp"][data-test-script-state="notRunning"]'
# Streamlit looks for its own address below the page's first; that it is not there is its answer.
HARMLESS = ("_stcore/health", "_stcore/host-config")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = (shutil.which(n) for n in ("chromium", "chromium-browser", "google-chrome"))
    program = next((path for path in found if path), None)
    with sync_api.sync_playwright() as playwright:
        try:
            opened = playwright.chromium.launch(executable_path=program, args=FLAGS)
        except sync_api.Error as error:
            pytest.skip(
                "no Chromium: none on PATH (chromium, chromium-browser, google-chrome), and "
                f"playwright has none of its own ({str(error).splitlines()[0]})"
            )
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a dashboard over two runs, one that goes on, and a damaged folder."""
    folder = tmp_path_factory.mktemp("dashboard")
    write_run(folder / "runs", "20260101-a", records(1500), name=HOSTILE)
    write_run(folder / "runs", "20260102-b", records(1500, ttft_s=0.3, seed=2))
    going_on = write_run(folder / "runs", "20260103-c", records(300, seed=3), finish=False)
    damage(folder / "runs", "20260104-d")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = os.environ | {
        "SERVING_LAB_HOME": str(folder / "home"),
        "SERVING_LAB_RUNS": str(folder / "runs"),
        "SERVING_LAB_PROMETHEUS_URL": "http://127.0.0.1:9",
    }
    argv = [sys.executable, "-m", "streamlit", "run", "dashboard/app.py", f"--server.port={port}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url, process, folder / "log")
        yield url
    finally:
        process.terminate()
        process.wait(20)
        going_on.close()


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"{url}/_stcore/health", trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise AssertionError(log.read_text())


def _elsewhere(url: str) -> list[str]:
    """The complaint about a request that leaves this machine, if it is one."""
    here = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")
    return [] if url.startswith(here) else [f"asked for {url}"]


def _open(browser: Any, url: str, scheme: str) -> tuple[Any, list[str]]:
    page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme=scheme)
    wrong: list[str] = []

    def console(message: Any) -> None:
        place = message.location.get("url", "")
        if message.type == "error" and not place.endswith(HARMLESS):
            wrong.append(f"{message.text} ({place})")

    page.on("console", console)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
    page.on("request", lambda request: wrong.extend(_elsewhere(request.url)))
    page.goto(url)
    page.wait_for_selector(DONE, timeout=60_000)
    return page, wrong


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("path", "figures", "words"),
    [
        ("/", 0, "lab up prometheus"),
        ("/compare?runs=20260101-a,20260102-b", 5, "Settings that differ"),
        ("/compare?runs=20260103-c", 5, "still goes on"),
    ],
)
def test_a_page_opens_without_an_error(
    browser: Any, dashboard: str, path: str, figures: int, words: str, scheme: str
) -> None:
    page, wrong = _open(browser, dashboard + path, scheme)
    sync_api.expect(page.get_by_text(words).first).to_be_visible(timeout=30_000)
    sync_api.expect(page.locator(".js-plotly-plot")).to_have_count(figures, timeout=30_000)
    assert page.locator('[data-testid="stException"]').count() == 0
    root = "document.documentElement"
    assert page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")
    if figures:
        box = page.locator(".js-plotly-plot").first.bounding_box()
        assert box["y"] + box["height"] <= 800, "the first figure needs scrolling"
    assert wrong == []
    page.close()


def test_a_hostile_name_runs_nothing(browser: Any, dashboard: str) -> None:
    page, wrong = _open(browser, f"{dashboard}/compare?runs=20260101-a", "light")
    sync_api.expect(page.get_by_text("<script>alert(1)").first).to_be_visible(timeout=30_000)
    assert page.locator('img[src="x"]').count() == 0
    assert wrong == []
    page.close()
