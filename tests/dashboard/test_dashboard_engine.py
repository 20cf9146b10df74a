"""Every query of every panel, asked of a real Prometheus that scrapes a real exporter.

The GPUs that the exporter sees are of a stand-in for the driver's library.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from stub_nvml import GIB, Card, Nvml

from dashboard import panels, prometheus, promql, sources
from dashboard.live import asking
from dashboard.prometheus import Failure
from dashboard.sources import Source
from servers import supervisor

pytestmark = pytest.mark.engine

SPAN_S = 60
APP = str(Path(__file__).resolve().parents[2] / "dashboard" / "app.py")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prometheus of its own home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVING_LAB_HOME", str(tmp_path_factory.mktemp("home")))
        patch.delenv("SERVING_LAB_PROMETHEUS_URL", raising=False)
        patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        nvml = Nvml(tmp_path_factory.mktemp("nvml"))
        nvml.tell(Card(), Card(milliwatts=-1))
        for name, value in nvml.environment().items():
            patch.setenv(name, value)
        instance = supervisor.up("prometheus", say=lambda _: None)
        supervisor.up("exporter", say=lambda _: None)
        try:
            yield instance.base_url
        finally:
            supervisor.down(say=lambda _: None)


def _span() -> promql.Span:
    return promql.Span.ending(time.time(), SPAN_S)


def _queries() -> dict[str, str]:
    """Each panel's expressions for each kind of source."""
    found = {}
    for panel in panels.PANELS:
        for kind in (*sources.MODEL_SERVERS, sources.LOAD_TEST, sources.GPU):
            matchers = {panel.identity: ["a.b-1", 'x"y|z\\']}
            for query in panels.queries(panel, panels.metrics_of(panel, kind), matchers, 5):
                found[f"{panel.key} of {kind}: {query.metric} {query.label}"] = query.expression
    return found


def test_a_real_prometheus_parses_every_query(server: str) -> None:
    for name, expression in _queries().items():
        answer = prometheus.query_range(server, expression, _span())
        assert not isinstance(answer, Failure), (name, answer)


def test_what_it_refuses_is_a_failure_with_its_words(server: str) -> None:
    answer = prometheus.query(server, "sum by (")
    assert isinstance(answer, Failure)
    assert answer.kind == "refused"
    assert "parse error" in answer.message


def test_the_running_prometheus_is_found(server: str) -> None:
    assert prometheus.address() == (server, "the running instance prometheus")


def test_memory_and_cpu_of_a_scraped_instance_arrive(server: str) -> None:
    source = Source("prometheus", sources.MODEL_SERVERS[0], "runs", True)
    wanted = panels.group("process")
    deadline = time.monotonic() + 60
    while True:
        found = asking.read(server, _span(), [source], wanted)
        assert not isinstance(found, Failure), found
        if all(one.by_source for one in found):
            break
        assert time.monotonic() < deadline, [one.notes for one in found]
        time.sleep(0.5)
    memory = next(one for one in found if one.panel.key == "memory")
    (reading,) = memory.by_source["prometheus"]
    assert reading.values[-1] > 1e6


def test_gpus_are_found_and_drawn_and_what_one_does_not_tell_is_said(server: str) -> None:
    deadline = time.monotonic() + 60
    while not (found := sources.discover(server, _span())):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert not isinstance(found, Failure)
    assert [(one.name, one.kind, one.about) for one in found] == [
        ("GPU 0", sources.GPU, "Stand-in GPU"),
        ("GPU 1", sources.GPU, "Stand-in GPU"),
    ]
    while True:
        readings = asking.read(server, _span(), found, panels.group("gpu"))
        assert not isinstance(readings, Failure)
        by_key = {one.panel.key: one for one in readings}
        if all(one.by_source for one in readings):
            break
        assert time.monotonic() < deadline, by_key
        time.sleep(0.5)
    assert by_key["gpu_memory"].by_source["GPU 1"][0].values[-1] == 30 * GIB
    assert by_key["gpu_util"].by_source["GPU 0"][0].values[-1] == pytest.approx(0.87)
    assert by_key["gpu_clock"].by_source["GPU 0"][0].values[-1] == pytest.approx(1.98e9)
    assert set(by_key["gpu_power"].by_source) == {"GPU 0"}
    assert any("GPU 1" in note and "POWER" in note for note in by_key["gpu_power"].notes)


def test_discovery_lists_no_prometheus_and_no_exporter_as_engines(server: str) -> None:
    found = sources.discover(server, _span())
    assert not isinstance(found, Failure)
    assert [one for one in found if one.kind != sources.GPU] == []


def _live(**params: str) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=60)
    app.query_params.update(params)
    return app.run()


def _stopped(app: AppTest) -> list[str]:
    assert not app.exception
    return [one.value for one in app.caption if one.value.startswith("Stopped at")]


def _until(app: AppTest) -> str:
    found = app.query_params["until"]
    return found if isinstance(found, str) else found[0]


def test_a_stopped_page_and_its_address_show_one_moment(server: str) -> None:
    app = _live(follow="false")
    moment = _until(app)
    said = _stopped(app)
    assert len(said) == 1
    while time.time() < float(moment) + 2:
        time.sleep(0.2)
    app.segmented_control(key="quantile").set_value("p50").run()
    assert _until(app) == moment
    assert _stopped(app) == said
    assert _stopped(_live(follow="false", until=moment)) == said
    app.toggle(key="follow").set_value(True).run()
    assert "until" not in app.query_params
    assert _stopped(app) == []


@pytest.mark.parametrize("moment", ["soon", "-5", "nan", "1e300", ""])
def test_a_moment_that_is_none_is_now(server: str, moment: str) -> None:
    began_s = time.time()
    app = _live(follow="false", until=moment)
    assert len(_stopped(app)) == 1
    assert float(_until(app)) >= began_s - 5
