from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browsing
import pytest


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty lab: no instance, no run, and a Prometheus address where nothing listens."""
    monkeypatch.setenv("SERVING_LAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SERVING_LAB_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("SERVING_LAB_PROMETHEUS_URL", "http://127.0.0.1:9")
    return tmp_path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One Chromium for the browser tests of a file.

    Not for the session: playwright holds an event loop in this thread as long as it is open, and
    every `asyncio.run` of a later file of the same process would be refused.
    """
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        opened = browsing.chromium(playwright, sync_api.Error)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def looking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browsing.Dashboard]:
    """One dashboard for all browser tests."""
    with browsing.dashboard(tmp_path_factory.mktemp("dashboard")) as running:
        yield running
