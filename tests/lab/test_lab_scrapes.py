"""Prometheus' answers become rows of the run store."""

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
    asked: list[tuple[float, float]] = []

    def fake(_client: httpx.Client, _names: object, start_s: float, stop_s: float) -> list:
        asked.append((start_s, stop_s))
        return []

    monkeypatch.setattr(scrapes, "_query", fake)
    scrapes.collect("http://127.0.0.1:1", ["vllm"], 0.0, 700.0, 0.0)
    assert asked == [(0.0, 300.0), (300.0, 600.0), (600.0, 700.0)]


def test_a_prometheus_that_is_not_there_is_said_to_be_and_the_run_is_called_safe():
    with pytest.raises(LabError, match="requests of the run are safe"):
        scrapes.collect("http://127.0.0.1:9", ["vllm"], 0.0, 1.0, 0.0)
