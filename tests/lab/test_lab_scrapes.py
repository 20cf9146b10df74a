"""Prometheus' answers become rows of the run store."""

import itertools

import httpx
import pytest

from lab import scrapes
from lab.errors import LabError
from measure.server_metrics import SCHEMA


def test_samples_keep_their_own_times_relative_to_the_run():
    matrix = [
        {
            "metric": {"__name__": "up", "instance": "vllm", "job": "engine"},
            "values": [[1000.25, "1"], [1001.25, "NaN"]],
        }
    ]
    table = scrapes.to_table(matrix, epoch_s=1000.0)
    assert table.schema == SCHEMA
    assert table["t_s"].to_pylist() == [0.25, 1.25]
    assert table["metric"].to_pylist() == ["up", "up"]
    assert table["labels"].to_pylist()[0] == [("instance", "vllm"), ("job", "engine")]
    assert table["value"].to_pylist()[0] == 1.0


def test_no_series_make_an_empty_table():
    assert scrapes.to_table([], epoch_s=0.0).num_rows == 0


def test_long_runs_are_asked_for_in_pieces_that_meet(monkeypatch: pytest.MonkeyPatch):
    asked: dict[str, list[tuple[float, float]]] = {}

    def fake(_client: httpx.Client, selector: str, start_s: float, stop_s: float) -> list:
        asked.setdefault(selector, []).append((start_s, stop_s))
        return []

    monkeypatch.setattr(scrapes, "_query", fake)
    scrapes.collect("http://127.0.0.1:1", ["vllm"], 0.0, 700.0, 0.0)
    assert list(asked) == ['{instance=~"vllm"}', '{__name__=~"DCGM_FI_.+"}']
    for pieces in asked.values():
        assert pieces == [(0.0, 300.0), (300.0, 600.0), (600.0, 700.0)]


def test_a_prometheus_that_is_not_there_is_said_to_be_and_the_run_is_called_safe():
    with pytest.raises(LabError, match="requests of the run are safe"):
        scrapes.collect("http://127.0.0.1:9", ["vllm"], 0.0, 1.0, 0.0)


def test_a_scrape_is_waited_for_until_each_instance_has_one(monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []
    # Nothing yet; then one from before; then one that began after the moment asked for.
    answers = iter(([], [99.5], [100.5]))

    def prometheus(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params["query"])
        result = [{"metric": {}, "value": [1.0, str(at_s)]} for at_s in next(answers)]
        return httpx.Response(200, json={"data": {"result": result}})

    _served_by(monkeypatch, prometheus)
    assert scrapes.wait_for("http://127.0.0.1:1", ["vllm", "exporter"], 100.0, 5.0)
    assert len(asked) == 3
    assert asked[0] == 'min(timestamp(up{instance=~"vllm|exporter"}))'


@pytest.mark.parametrize("status", [200, 503])
def test_a_scrape_that_does_not_come_is_waited_for_no_longer_than_asked(
    monkeypatch: pytest.MonkeyPatch, status: int
):
    clock = itertools.count()
    monkeypatch.setattr(scrapes.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(scrapes.time, "sleep", lambda _seconds: None)
    _served_by(monkeypatch, lambda _request: httpx.Response(status, json={"data": {"result": []}}))
    assert not scrapes.wait_for("http://127.0.0.1:1", ["vllm"], 100.0, 5.0)


def _served_by(monkeypatch: pytest.MonkeyPatch, answer) -> None:
    real = httpx.Client
    monkeypatch.setattr(
        scrapes.httpx,
        "Client",
        lambda **more: real(**more, transport=httpx.MockTransport(answer)),
    )
