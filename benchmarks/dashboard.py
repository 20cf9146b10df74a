"""`python -m benchmarks.dashboard`: how soon a full store can be used in the browser.

200 runs with 2,000,000 records in all, the real dashboard, a headless Chromium. Written are
`benchmarks/dashboard.json` and the table in `benchmarks/README.md`, unless `--runs` or
`--records` ask for another store.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psutil

from benchmarks import dashboard_store, report
from servers.locks import write_atomically

RUNS, RECORDS = 200, 10_000
REPETITIONS = 5
LIMIT_S, LIMIT_BYTES = 1.5, 1_000_000_000
FIGURES = report.HERE / "dashboard.json"
_BEGIN, _END = "<!-- dashboard: written by benchmarks.dashboard -->", "<!-- end of dashboard -->"
_PATIENCE_MS = 60_000
# Longer than a reader takes from seeing a page to pressing something on it.
_LOOKING_S = 2.0
_LIST = 'body:has(.st-key-q) [data-testid="stDataFrame"] canvas'
_FIGURE = ".js-plotly-plot .main-svg"
_USABLE = """shows => {
    const found = document.querySelector(shows);
    const app = '[data-testid="stApp"][data-test-script-state="notRunning"]';
    const rests = document.querySelector(app);
    const waits = document.querySelector('[data-testid="stSkeleton"]');
    return found && found.getBoundingClientRect().height > 0 && rests && !waits;
}"""
_FREE = "() => new Promise(done => requestAnimationFrame(() => setTimeout(() => done(true))))"
_ALONE = """
import streamlit as st
for number in range(6):
    st.plotly_chart({"data": [{"y": [1, 2]}]}, key=str(number))
"""


@dataclass(frozen=True)
class Took:
    """Seconds until it could be used, each time; the memory of the app after the last.

    `limited` says whether it is held against `LIMIT_S`.
    """

    title: str
    seconds: tuple[float, ...]
    resident_bytes: int
    limited: bool = False

    @property
    def median_s(self) -> float:
        """The one in the middle."""
        return median(self.seconds)

    @property
    def good(self) -> bool:
        """Whether it is as quick, where that is asked, and as small as it is to be."""
        quick = not self.limited or self.median_s <= LIMIT_S
        return quick and self.resident_bytes <= LIMIT_BYTES


def main() -> None:
    """Entry point: 0 if everything is within its limit, 1 if not or if it could not be measured."""
    options = _options()
    store = options.store / f"{options.runs}x{options.records}"
    began = time.monotonic()
    written = dashboard_store.fill(store, options.runs, options.records)
    for number, _ in enumerate(written, start=1):
        print(f"\rwriting runs: {number}, {time.monotonic() - began:.0f} s", end="", flush=True)
    print(f"\n{options.runs} runs with {options.records:,} records each in {store}")
    names = cycle(dashboard_store.name(number, options.records) for number in range(options.runs))
    try:
        took = measure(store, names)
    except RuntimeError as problem:
        sys.exit(f"error: {problem}")
    text = table(took)
    print(text)
    if (options.runs, options.records) == (RUNS, RECORDS):
        _keep(took, text)
    sys.exit(0 if all(one.good for one in took) else 1)


def measure(store: Path, names: Iterator[str]) -> list[Took]:
    """Everything, `REPETITIONS` times each; `names` are the runs, taken one after the other.

    Raises:
        RuntimeError: there is no Playwright or no Chromium, or the dashboard does not start.
    """
    took: list[Took] = []

    def note(title: str, seconds: Sequence[float], limited: bool = False) -> None:
        took.append(Took(title, tuple(seconds), int(process.memory_info().rss), limited))
        print(f"{title}: {took[-1].median_s:.2f} s")

    def four() -> str:
        return ",".join(next(names) for _ in range(4))

    with _app("dashboard/app.py", store) as (url, process), _browser() as browser:
        note("the first page after the app's start", [_new_tab(browser, f"{url}/runs", _LIST)])
        visits = [_visits(browser, url, four()) for _ in range(REPETITIONS)]
        to_compare, to_runs, again = zip(*visits, strict=True)
        note("Runs, from another page", to_runs, True)
        note("Compare of 4 runs, picked on Runs and not opened before", to_compare, True)
        note("Compare of 4 runs, from another page", again, True)
        new = [_new_tab(browser, f"{url}/runs", _LIST) for _ in range(REPETITIONS)]
        note("new tab: Runs", new)
        for page in ("compare", "tails"):
            new = [
                _new_tab(browser, f"{url}/{page}?runs={four()}", _FIGURE)
                for _ in range(REPETITIONS)
            ]
            note(f"new tab: {page.capitalize()} of 4 runs not opened before", new)
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder, "alone.py")
        alone.write_text(_ALONE, encoding="utf-8")
        with _app(str(alone), store) as (url, process), _browser() as browser:
            new = [_new_tab(browser, url, _FIGURE) for _ in range(REPETITIONS + 1)]
            note("new tab: Streamlit alone, six empty figures", new[1:])
    return took


def table(took: Sequence[Took]) -> str:
    """What was measured, as Markdown."""
    return "\n".join(
        [
            "| what | median | slowest | limit | memory of the app then |",
            "| --- | --- | --- | --- | --- |",
            *(
                f"| {one.title} | {one.median_s:.2f} s | {max(one.seconds):.2f} s "
                f"| {f'{LIMIT_S} s' if one.limited else '–'} "
                f"| {one.resident_bytes / 1e6:,.0f} MB |"
                for one in took
            ),
        ]
    )


def _visits(browser: Any, url: str, four: str) -> tuple[float, float, float]:
    """In one tab: Runs to Compare, back to Runs, and to Compare again; seconds of each."""
    tab = browser.new_page()
    tab.set_default_timeout(_PATIENCE_MS)
    try:
        tab.goto(f"{url}/runs?picked={four}")
        _usable(tab, _LIST)
        compare = tab.get_by_role("button", name="Compare", exact=True)
        took = [_pressed(tab, compare, _FIGURE)]
        for page, shows in (("Runs", _LIST), ("Compare", _FIGURE)):
            took.append(_pressed(tab, tab.get_by_role("link", name=page, exact=True), shows))
        if not all(name in tab.url for name in four.split(",")):
            raise RuntimeError(f"Compare shows other runs than were picked: {tab.url}")
    finally:
        tab.close()
    return took[0], took[1], took[2]


def _pressed(tab: Any, what: Any, shows: str) -> float:
    """Seconds from pressing a link or a button until the page that it leads to can be used."""
    time.sleep(_LOOKING_S)
    began = time.perf_counter()
    what.click()
    _usable(tab, shows)
    return time.perf_counter() - began


def _new_tab(browser: Any, address: str, shows: str) -> float:
    """Seconds from asking for the address in a new tab until the page can be used."""
    tab = browser.new_page()
    tab.set_default_timeout(_PATIENCE_MS)
    try:
        began = time.perf_counter()
        tab.goto(address, wait_until="commit")
        _usable(tab, shows)
        return time.perf_counter() - began
    finally:
        tab.close()


def _usable(tab: Any, shows: str) -> None:
    """Wait until the page shows this, nothing is computed, and the browser takes a press."""
    # Looked at with every frame: a selector is waited for in steps of half a second.
    tab.wait_for_function(_USABLE, arg=shows)
    tab.evaluate(_FREE)
    if tab.locator('[data-testid="stException"]').count():
        raise RuntimeError(f"{tab.url} shows an exception")


@contextmanager
def _app(script: str, store: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The script in Streamlit, over the store; nothing else runs there, and no Prometheus."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = [sys.executable, "-m", "streamlit", "run", script, f"--server.port={port}"]
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {
            "SERVING_LAB_HOME": home,
            "SERVING_LAB_RUNS": str(store),
            "SERVING_LAB_PROMETHEUS_URL": "http://127.0.0.1:9",
        }
        log = Path(home, "dashboard.log")
        with log.open("wb") as said:
            process = psutil.Popen(
                argv, cwd=report.HERE.parent, env=environment, stdout=said, stderr=said
            )
        try:
            url = f"http://127.0.0.1:{port}"
            _until(lambda: _answers(url), process, log)
            yield url, process
        finally:
            process.terminate()
            process.wait(20)


def _until(true: Callable[[], bool], process: psutil.Process, log: Path) -> None:
    deadline = time.monotonic() + 60
    while not true():
        if not process.is_running() or time.monotonic() > deadline:
            raise RuntimeError(f"the dashboard did not start: {log.read_text()[-2000:]}")
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/_stcore/health", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@contextmanager
def _browser() -> Iterator[Any]:
    """A headless Chromium with a profile of its own, so that it keeps what a reader's keeps."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        raise RuntimeError(
            "Playwright is not installed: `make test` installs what the tests and this need."
        ) from None
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    with tempfile.TemporaryDirectory() as profile, sync_playwright() as playwright:
        try:
            opened = playwright.chromium.launch_persistent_context(
                profile,
                executable_path=next((path for path in found if path), None),
                args=["--headless", "--no-sandbox", "--disable-gpu"],
                viewport={"width": 1280, "height": 800},
            )
        except Error as error:
            raise RuntimeError(
                f"there is no Chromium that can be started: {str(error).splitlines()[0]}"
            ) from None
        try:
            yield opened
        finally:
            opened.close()


def _keep(took: Sequence[Took], text: str) -> None:
    """The table into the README, every number beside it."""
    stamped = report.stamp((), REPETITIONS)
    document = {**stamped, "runs": RUNS, "records": RUNS * RECORDS}
    document["took"] = [asdict(one) for one in took]
    write_atomically(FIGURES, json.dumps(document, indent=1) + "\n")
    words = (
        f"{stamped['date']}, {stamped['cores']} cores ({stamped['cpu']}), Python "
        f"{stamped['python']}; {RUNS} runs with {RUNS * RECORDS:,} records; "
        f"{REPETITIONS} times each."
    )
    report.fill(_BEGIN, _END, f"{words}\n\n{text}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dashboard", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--records", type=int, default=RECORDS, help="of each run")
    parser.add_argument(
        "--store",
        type=Path,
        default=Path(tempfile.gettempdir()) / "serving-lab-full-store",
        help="where the runs are written, and kept for the next time",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
