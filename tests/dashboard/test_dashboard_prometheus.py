import json
import math
from pathlib import Path

import pytest

from dashboard import prometheus, words
from dashboard.prometheus import Failure


def _read(status: int, body: bytes, url: str) -> prometheus.Answer:
    data = prometheus.read(status, body, url)
    return data if isinstance(data, Failure) else prometheus.series(data, url)


def test_nothing_there_is_a_failure_that_names_the_address(lab: Path) -> None:
    answer = prometheus.query("http://127.0.0.1:9", "up")
    assert isinstance(answer, Failure)
    assert answer.kind == "unreachable"
    assert "http://127.0.0.1:9" in answer.message


@pytest.mark.parametrize("url", ["nonsense", "http://", "http://[::1", "ftp://x"])
def test_an_address_that_is_none_is_a_failure(url: str) -> None:
    answer = prometheus.query(url, "up")
    assert isinstance(answer, Failure)
    assert answer.kind == "unreachable"


def test_series_are_read_with_nan_and_infinity() -> None:
    body = {
        "status": "success",
        "data": {
            "resultType": "matrix",
            "result": [{"metric": {"a": "b"}, "values": [[1, "NaN"], [2, "+Inf"], [3, "4.5"]]}],
        },
    }
    answer = _read(200, json.dumps(body).encode(), "u")
    assert not isinstance(answer, Failure)
    (series,) = answer
    assert series.labels == {"a": "b"}
    assert math.isnan(series.values[0])
    assert series.values[1:] == (math.inf, 4.5)
    assert series.last == 4.5


def test_half_a_letter_in_a_label_becomes_one_that_can_be_sent() -> None:
    body = b"""{"status": "success", "data": {"result": [
        {"metric": {"instance": "a\\ud800b", "job": "\\ud83d\\ude00"}, "value": [1, "2"]}]}}"""
    found = _read(200, body, "http://x")
    assert not isinstance(found, Failure)
    assert found[0].labels == {"instance": "a?b", "job": "\U0001f600"}


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 200_000,
        b'{"result": [{"metric": {}, "value": [1' + b"0" * 400 + b', "1"]}]}',
        b'{"result": [{"metric": {}, "values": [[1, "1"], [1e300, "1"]]}]}',
        b'{"result": [{"metric": {}, "values": [[-1, "1"]]}]}',
    ],
)
def test_numbers_and_depths_that_nothing_holds_are_a_failure(data: bytes) -> None:
    found = _read(200, b'{"status": "success", "data": ' + data + b"}", "http://x")
    assert isinstance(found, Failure) and found.kind == "unreadable"


def test_a_query_prometheus_refuses_says_why() -> None:
    body = b'{"status":"error","errorType":"bad_data","error":"parse error: unexpected x"}'
    answer = _read(400, body, "u")
    assert isinstance(answer, Failure)
    assert answer.kind == "refused"
    assert "unexpected x" in answer.message


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>hello</html>"),
        (200, b"[]"),
        (200, b'{"status":"success"}'),
        (502, b'{"status":"success","data":{"result":[]}}'),
        (200, b'{"status":"success","data":{"result":[{"metric":{},"values":[[1,"x"]]}]}}'),
        (200, b"\xff\xfe"),
    ],
)
def test_what_is_not_the_query_api_is_a_failure(status: int, body: bytes) -> None:
    answer = _read(status, body, "http://u")
    assert isinstance(answer, Failure)
    assert answer.kind == "unreadable"
    assert "http://u" in answer.message


def test_the_address_comes_from_the_environment_first(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVING_LAB_PROMETHEUS_URL", "http://far:1/")
    assert prometheus.address() == ("http://far:1", "the variable SERVING_LAB_PROMETHEUS_URL")
    monkeypatch.delenv("SERVING_LAB_PROMETHEUS_URL")
    assert prometheus.address() == ("", "")


def test_without_a_prometheus_of_this_lab_nobody_else_s_is_asked(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SERVING_LAB_PROMETHEUS_URL")
    url, _ = prometheus.address()
    for answer in (prometheus.query(url, "up"), prometheus.api(url, "alerts")):
        assert isinstance(answer, Failure)
        assert (answer.kind, answer.message) == ("unreachable", "No Prometheus of this lab runs.")


def test_a_failure_is_told_in_the_language_of_who_reads_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(words, "_asked", lambda: "en")
    failure = prometheus.query("http://127.0.0.1:9", "up")
    assert isinstance(failure, Failure)
    assert "Nothing answers as Prometheus" in failure.message
    korean = {"Nothing answers as Prometheus at {url} ({error}).": "{url} {error} 없음"}
    monkeypatch.setattr(words, "translations", lambda _: korean)
    assert failure.message.endswith("없음")
    assert "http://127.0.0.1:9" in failure.message
