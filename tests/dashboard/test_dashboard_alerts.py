"""The alerts of Prometheus, read and drawn."""

import pytest

from dashboard import alerts
from dashboard.prometheus import Failure

HOSTILE = '<img src=x onerror="alert(1)"> **bold**'


def _one(name: str = "TargetDown", **changes: object) -> dict[str, object]:
    return {
        "labels": {"alertname": name, "instance": "dead", "job": "engine", "severity": "page"},
        "annotations": {
            "summary": "dead (engine) does not answer Prometheus",
            "description": "It died, or hangs.",
            "notebook": "notebooks/09_monitoring.py",
        },
        "state": "firing",
        "activeAt": "2026-11-23T09:33:10.783924236Z",
        "value": "0e+00",
    } | changes


def _read(*documents: dict[str, object]) -> list[alerts.Alert]:
    found = alerts.interpret({"alerts": list(documents)})
    assert not isinstance(found, Failure)
    return found


def test_an_alert_is_read_with_what_it_says_and_since_when() -> None:
    (one,) = _read(_one())
    assert (one.name, one.state, one.severity, one.instance) == (
        "TargetDown",
        "firing",
        "page",
        "dead",
    )
    assert one.since_s == pytest.approx(1795426390.783924)
    assert one.notebook == "notebooks/09_monitoring.py"
    assert one.about == {"instance": "dead", "job": "engine"}


@pytest.mark.parametrize(
    "written",
    ["2026-11-23T09:33:10Z", "2026-11-23T09:33:10.7Z", "2026-11-23T10:33:10.783924236+01:00"],
)
def test_every_way_prometheus_writes_a_time_is_read(written: str) -> None:
    assert alerts.unix_time_s(written) == pytest.approx(1795426390, abs=1)


def test_the_worst_and_oldest_come_first() -> None:
    ticket = {"alertname": "b", "severity": "ticket"}
    found = _read(
        _one("pending", state="pending"),
        _one(labels=ticket),
        _one("young", activeAt="2026-11-23T09:33:12Z"),
        _one("old"),
    )
    assert [one.name for one in found] == ["old", "young", "b", "pending"]
    assert alerts.headline(found) == "3 firing, 1 pending"


def _looks_back(name: str) -> dict[str, object]:
    said = {"summary": f"{name} missed it", "ended": "No answers now: the alert looks back."}
    return _one(name, annotations=said, labels=_one(name)["labels"] | {"alertname": name})


def test_what_only_looks_back_stands_behind_what_goes_on_now_and_says_so() -> None:
    now = [_one(labels={"alertname": "ticket", "severity": "ticket"}), _one(state="pending")]
    found = _read(_looks_back("past"), *now)
    assert [bool(one.ended) for one in found] == [False, False, True]
    assert [one.state for one in found] == ["firing", "pending", "firing"]
    rows = alerts.render(found, 1.8e9).split("<strong")[1:]
    assert ["no answers now" in row for row in rows] == [False, False, True]
    assert "No answers now: the alert looks back." in alerts.render(found, 1.8e9)


def test_what_runs_now_is_shown_before_six_that_ended() -> None:
    several = [_looks_back(f"past{n}") for n in range(7)]
    drawn = alerts.render(_read(*several, _one(labels={"alertname": "young"})), 1.8e9)
    assert "young" in drawn
    assert "2 more" in drawn


def test_a_quiet_prometheus_gets_a_small_word_only() -> None:
    drawn = alerts.render([], 0.0)
    assert "no alert" in drawn
    assert 'role="status"' not in drawn


def test_a_drawn_alert_says_name_state_summary_and_how_long() -> None:
    drawn = alerts.render(_read(_one()), 1795426390.78 + 75)
    for words in ("TargetDown", "firing", "does not answer Prometheus", "for 75 s", "Value: 0."):
        assert words in drawn


def test_more_than_fit_are_counted() -> None:
    drawn = alerts.render(_read(*(_one(f"alert{n:02}") for n in range(9))), 1.8e9)
    assert "alert05" in drawn
    assert "alert06" not in drawn
    assert "3 more" in drawn


def test_what_others_wrote_is_shown_as_text() -> None:
    labels = {"alertname": HOSTILE, "instance": HOSTILE, "severity": HOSTILE}
    hostile = _one(labels=labels, annotations={"summary": HOSTILE, "description": HOSTILE})
    drawn = alerts.render(_read(hostile), 1.8e9)
    assert "<img" not in drawn
    assert "&lt;img" in drawn


def test_an_alert_without_annotations_has_its_name_and_instance() -> None:
    (one,) = _read(_one(annotations={}, value="NaN"))
    assert one.summary == "TargetDown dead"
    assert alerts.shown_value(one.value) == "NaN"


@pytest.mark.parametrize(
    "data",
    [None, [], {}, {"alerts": [{}]}, {"alerts": [_one(activeAt="yesterday")]}, {"alerts": 5}],
)
def test_what_is_no_list_of_alerts_is_a_failure(data: object) -> None:
    found = alerts.interpret(data)
    assert isinstance(found, Failure)
    assert found.kind == "unreadable"


def test_without_prometheus_the_box_says_why() -> None:
    assert "http://127.0.0.1:9" in alerts.box("http://127.0.0.1:9", 0.0)
