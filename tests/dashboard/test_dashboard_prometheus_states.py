"""A real Prometheus that is stopped, started again, empty, slow, or not Prometheus at all."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from slow_proxy import Proxy, proxy
from streamlit.testing.v1 import AppTest

from dashboard import prometheus
from dashboard.prometheus import Failure
from servers import supervisor

pytestmark = pytest.mark.engine

APP = str(Path(__file__).resolve().parents[2] / "dashboard" / "app.py")
PAGES = ("live", "memory", "health")
PROGRAMS = {
    "the lab's": None,
    "3.x": os.environ.get("SERVING_LAB_TEST_PROMETHEUS_3"),
}


def quiet(_: str) -> None:
    pass


@pytest.fixture(scope="module", params=list(PROGRAMS))
def home(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[pytest.MonkeyPatch]:
    """A lab of its own, whose Prometheus is of the version asked for."""
    program = PROGRAMS[request.param]
    if request.param == "3.x" and not program:
        pytest.skip("SERVING_LAB_TEST_PROMETHEUS_3 names no Prometheus 3.x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVING_LAB_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("SERVING_LAB_RUNS", str(tmp_path_factory.mktemp("runs")))
        patch.delenv("SERVING_LAB_PROMETHEUS_URL", raising=False)
        if program:
            patch.setenv("SERVING_LAB_PROMETHEUS", program)
        try:
            yield patch
        finally:
            supervisor.down(say=quiet)


@pytest.fixture
def behind(home: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """What the pages take for Prometheus: a proxy before the real one, which runs."""
    running = supervisor.up("prometheus", say=quiet)
    prometheus.forget()
    with proxy(running.base_url) as found:
        home.setenv("SERVING_LAB_PROMETHEUS_URL", found.url)
        yield found
        home.delenv("SERVING_LAB_PROMETHEUS_URL")


def _open(page: str) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=60)
    return app.switch_page(f"views/{page}.py")


def _words(app: AppTest) -> str:
    kinds = ("markdown", "caption", "subheader", "text", "info", "warning", "error", "code")
    return "\n".join(str(one.value) for kind in kinds for one in app.get(kind))


def test_stopped_is_said_and_started_again_is_seen(home: pytest.MonkeyPatch) -> None:
    running = supervisor.up("prometheus", say=quiet)
    port = running.ports["http"]
    home.setenv("SERVING_LAB_PROMETHEUS_URL", running.base_url)
    apps = [_open(page).run() for page in PAGES]
    for app in apps:
        assert not app.exception
        assert "does not answer" not in _words(app)
    supervisor.down("prometheus", say=quiet)
    for app in apps:
        app.run()
        assert not app.exception
        assert "Prometheus does not answer" in _words(app)
        assert "lab up prometheus" in _words(app)
    supervisor.up("prometheus", ports={"http": port}, say=quiet)
    for app in apps:
        app.run()
        assert not app.exception
        assert "does not answer" not in _words(app)
    home.delenv("SERVING_LAB_PROMETHEUS_URL")


def test_slow_is_said_after_one_wait_and_gone_when_it_is_quick_again(behind: Proxy) -> None:
    behind.delay_s = 5.0
    apps = [_open(page) for page in PAGES]
    for app in apps:
        app.run()
        assert not app.exception
        assert "too slow" in _words(app)
        assert "did not answer within" in _words(app)
    # However much they would like to know: one asked and waited, and it was left alone.
    assert len(behind.asked) <= len(PAGES)
    behind.delay_s = 0.0
    prometheus.forget()
    for app in apps:
        app.run()
        assert not app.exception
        assert "too slow" not in _words(app)


def test_a_slow_prometheus_is_asked_again_after_a_while(
    behind: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus, "HOLD_S", 0.2)
    behind.delay_s = 5.0
    first = prometheus.query(behind.url, "up")
    assert isinstance(first, Failure)
    assert first.kind == "timeout"
    behind.delay_s = 0.0
    time.sleep(0.3)
    assert not isinstance(prometheus.query(behind.url, "up"), Failure)


def test_another_server_and_one_that_starts_are_told_apart(behind: Proxy) -> None:
    apps = [_open(page) for page in PAGES]
    for status, words in (
        (200, "is not Prometheus"),
        (404, "is not Prometheus"),
        (503, "starting"),
    ):
        for app in apps:
            behind.status = status
            app.run()
            assert not app.exception
            assert words in _words(app)
            behind.status = None
            app.run()
            assert words not in _words(app)


def test_empty_says_what_to_start(behind: Proxy) -> None:
    app = _open("live").run()
    assert not app.exception
    assert "No engine runs" in _words(app)
    assert "no alert" in "\n".join(str(one.value) for one in app.get("html"))


def test_health_of_a_prometheus_without_engines_names_what_to_do(behind: Proxy) -> None:
    app = _open("health").run()
    assert not app.exception
    (first, *_) = (one.value for one in app.get("table"))
    cells = first.to_string()
    assert "no engine answers" in cells
    assert "evaluated without fault" in cells
