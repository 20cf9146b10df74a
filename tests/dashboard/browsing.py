"""One Chromium and one dashboard for all browser tests, over stores that can be exchanged."""

import ast
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from dashboard_runs import HOSTILE, damage, records, write_run

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
SIZES = ((1280, 800), (1920, 1080))

HOSTILE_TEXTS = (
    f"{HOSTILE} :red[zzred] :material/home: :rocket: www.a.b x@a.b \\(y\\) $\\frac{{1}}{{2}}$ $$z$$",
    "# head\n- item\n\n> ![i](http://a.b/i.png) `code` ~~s~~ <b onclick=alert(3)>b</b> | a | b | "
    + "x" * 5000,
    "very long words " * 320 + ":blue-background[zzblue]",
    "\u202eevil\u202c \u05d0\u05d1\u05d2 \u0627\u0644 \U0001f680 `a` \x07 {name} {0} %s %{x} &lt;i&gt; ' \" \\",
)


def pages() -> list[str]:
    """The pages there are, by the one list of them."""
    tree = ast.parse((ROOT / "dashboard" / "app.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "PAGES":
            return list(ast.literal_eval(node.value))
    raise AssertionError("dashboard/app.py has no PAGES")


@dataclass(frozen=True)
class Dashboard:
    """A running dashboard; `show` exchanges the store it looks into."""

    url: str
    runs: Path
    stores: Path

    def show(self, store: str) -> list[str]:
        """Look into one of `empty`, `usual`, `hostile`; the names of its whole runs."""
        self.runs.unlink(missing_ok=True)
        self.runs.symlink_to(self.stores / store, target_is_directory=True)
        return sorted(path.parent.name for path in self.runs.glob("*/summary.json"))


@contextmanager
def streamlit(script: str, log: Path, **environment: str) -> Iterator[str]:
    """The address of a Streamlit app that runs meanwhile."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = [sys.executable, "-m", "streamlit", "run", script, f"--server.port={port}"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            argv, cwd=ROOT, env=os.environ | environment, stdout=file, stderr=file
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url, process, log)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"{url}/_stcore/health", trust_env=False, timeout=60).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise AssertionError(log.read_text())


@contextmanager
def dashboard(folder: Path) -> Iterator[Dashboard]:
    """A dashboard over three stores; no Prometheus listens where it asks."""
    stores, runs = folder / "stores", folder / "runs"
    (stores / "empty").mkdir(parents=True)
    usual = stores / "usual"
    write_run(usual, "20260101-a", records(1500), name=HOSTILE)
    knob = {"max_num_seqs": 1}
    write_run(usual, "20260102-b", records(1500, ttft_s=0.3, seed=2), settings=knob)
    going_on = write_run(usual, "20260103-c", records(300, seed=3), finish=False)
    damage(usual, "20260104-d")
    _hostile(stores / "hostile")
    environment = {
        "SERVING_LAB_HOME": str(folder / "home"),
        "SERVING_LAB_RUNS": str(runs),
        "SERVING_LAB_PROMETHEUS_URL": "http://127.0.0.1:9",
    }
    with streamlit("dashboard/app.py", folder / "log", **environment) as url:
        yield Dashboard(url, runs, stores)
    going_on.close()


def _hostile(store: Path) -> None:
    """A run for each text, which stands wherever a text can stand."""
    for place, words in enumerate(HOSTILE_TEXTS):
        run_id = f"2026010{place}-" + words.replace("/", "").replace("\x00", "")[:150].strip()
        failing = [
            replace(one, error=words) if one.error else one for one in records(300, seed=place)
        ]
        write_run(
            store,
            run_id if len(run_id.encode()) < 255 else run_id[:60],
            failing,
            name=words,
            model=words,
            title=words,
            engine=words if place == 0 else "vllm",
            settings={"max_num_seqs": place, "dtype": words, words[:60]: words},
        )
        # Written past the code that would refuse some of it: a folder may come from elsewhere.
        folder = next(path for path in store.iterdir() if path.name[:8] == run_id[:8])
        (folder / "notes.json").write_text(json.dumps({"tags": [words, "t"], "note": words}))


def chromium(playwright: Any, error: type[Exception]) -> Any:
    """Chromium of this machine or of playwright; without one the test is skipped."""
    found = (shutil.which(n) for n in ("chromium", "chromium-browser", "google-chrome"))
    program = next((path for path in found if path), None)
    try:
        return playwright.chromium.launch(executable_path=program, args=FLAGS)
    except error as reason:
        pytest.skip(
            "no Chromium: none on PATH (chromium, chromium-browser, google-chrome), and "
            f"playwright has none of its own ({str(reason).splitlines()[0]})"
        )


def _elsewhere(url: str) -> list[str]:
    """The complaint about a request that leaves this machine, if it is one."""
    here = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")
    return [] if url.startswith(here) else [f"asked for {url}"]


@contextmanager
def opened(browser: Any, url: str, **options: Any) -> Iterator[tuple[Any, list[str]]]:
    """A page in a context of its own, and all that went wrong on it."""
    options = {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"} | options
    context = browser.new_context(**options)
    page = context.new_page()
    wrong: list[str] = []

    def console(message: Any) -> None:
        place = message.location.get("url", "")
        if message.type == "error" and not place.endswith(HARMLESS):
            wrong.append(f"{message.text} ({place})")

    page.on("console", console)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
    page.on("request", lambda request: wrong.extend(_elsewhere(request.url)))
    page.on("dialog", lambda dialog: (wrong.append("a dialog"), dialog.dismiss()))
    page.goto(url)
    settle(page)
    try:
        yield page, wrong
    finally:
        context.close()


def settle(page: Any) -> None:
    """Wait until the script has run and what it drew is there."""
    page.wait_for_selector(DONE, timeout=60_000)
    page.wait_for_selector('[data-testid="stSkeleton"]', state="detached", timeout=60_000)


def sticks_out(page: Any) -> list[str]:
    """What is wider than the page, or has text that stands on the page's edge."""
    found: list[str] = page.evaluate(
        """() => {
          const wide = document.documentElement.clientWidth
          const main = document.querySelector('[data-testid="stMain"]')
          const found = []
          for (const one of [document.documentElement, main])
            if (one.scrollWidth > one.clientWidth) found.push(`${one.tagName} ${one.scrollWidth}`)
          for (const one of document.querySelectorAll('[data-testid="stElementContainer"]')) {
            const box = one.getBoundingClientRect()
            if (box.width && (box.right > wide + 1 || box.left < -1))
              found.push(`${one.className} ${box.left} to ${box.right}`)
          }
          return found
        }"""
    )
    return found


def faint(page: Any) -> list[str]:
    """Texts, those of figures too, that stand less than 4.5:1 against what is behind them.

    The contrast is that of WCAG 2.2. Icons, and buttons that do nothing now, are left out.
    """
    found: list[str] = page.evaluate(
        """() => {
          const numbers = colour => (colour.match(/[\\d.]+/g) || []).map(Number)
          const light = colour => colour
            .map(part => part / 255)
            .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
            .reduce((sum, part, i) => sum + [0.2126, 0.7152, 0.0722][i] * part, 0)
          const over = (below, [red, green, blue], share) =>
            [red, green, blue].map((part, i) => below[i] * (1 - share) + part * share)
          const found = []
          for (const one of document.querySelectorAll('.stApp *')) {
            const own = [...one.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())
            if (!own || !one.checkVisibility({visibilityProperty: true})) continue
            if (one.closest('style,script,[data-testid="stIconMaterial"],:disabled')) continue
            const style = getComputedStyle(one)
            const inFigure = one.closest('svg')
            if (inFigure && !inFigure.matches('.main-svg')) continue
            let behind = [], shown = inFigure ? Number(style.fillOpacity) : 1
            for (let at = one; at; at = at.parentElement) {
              const [red, green, blue, share = 1] = numbers(getComputedStyle(at).backgroundColor)
              behind.unshift([[red, green, blue], share])
              if (share === 1) break
            }
            for (let at = one; at; at = at.parentElement)
              shown *= Number(getComputedStyle(at).opacity)
            if (shown < 0.05) continue
            const below = behind.reduce((on, [colour, share]) => over(on, colour, share),
              [255, 255, 255])
            let colour = numbers(inFigure ? style.fill : style.color)
            if (style.color.startsWith('color(srgb') && !inFigure)
              colour = colour.map((part, i) => i < 3 ? part * 255 : part)
            const text = over(below, colour, (colour[3] ?? 1) * shown)
            const [high, low] = [light(text), light(below)].sort((a, b) => b - a)
            const contrast = (high + 0.05) / (low + 0.05)
            if (contrast < 4.5) found.push(`${contrast.toFixed(2)} ${one.textContent.slice(0, 40)}`)
          }
          return found
        }"""
    )
    return found
