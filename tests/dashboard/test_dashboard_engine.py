"""Every query of every panel, asked of a real Prometheus that scrapes a real exporter."""

import time
from collections.abc import Iterator

import pytest

from dashboard import live, panels, prometheus, promql
from dashboard.live import Source
from dashboard.prometheus import Failure
from servers import supervisor

pytestmark = pytest.mark.engine

SPAN_S = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prometheus of its own home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVING_LAB_HOME", str(tmp_path_factory.mktemp("home")))
        patch.delenv("SERVING_LAB_PROMETHEUS_URL", raising=False)
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
        for kind in (*live.MODEL_SERVERS, live.LOAD_TEST):
            matchers = {"instance": ["a.b-1", 'x"y|z\\']}
            for query in panels.queries(panel, live.metrics_of(panel, kind), matchers, 5):
                found[f"{panel.key} of {kind}: {query.metric} {query.label}"] = query.expression
    return found


@pytest.mark.parametrize("name", list(_queries()))
def test_a_real_prometheus_parses_the_query(server: str, name: str) -> None:
    answer = prometheus.query_range(server, _queries()[name], _span())
    assert not isinstance(answer, Failure), answer


def test_what_it_refuses_is_a_failure_with_its_words(server: str) -> None:
    answer = prometheus.query(server, "sum by (")
    assert isinstance(answer, Failure)
    assert answer.kind == "refused"
    assert "parse error" in answer.message


def test_the_running_prometheus_is_found(server: str) -> None:
    assert prometheus.address() == (server, "the running instance prometheus")


def test_memory_and_cpu_of_a_scraped_instance_arrive(server: str) -> None:
    source = Source("prometheus", live.MODEL_SERVERS[0], "runs", True)
    wanted = panels.group("process")
    deadline = time.monotonic() + 60
    while True:
        found = live.read(server, _span(), [source], wanted)
        assert not isinstance(found, Failure), found
        if all(one.by_source for one in found):
            break
        assert time.monotonic() < deadline, [one.notes for one in found]
        time.sleep(0.5)
    memory = next(one for one in found if one.panel.key == "memory")
    (reading,) = memory.by_source["prometheus"]
    assert reading.values[-1] > 1e6


def test_discovery_lists_no_prometheus_and_no_exporter_as_engines(server: str) -> None:
    assert live.discover(server, _span()) == []
