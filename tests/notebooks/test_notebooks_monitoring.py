"""What notebook 09 reads, asks, computes beside it, and checks."""

import math
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.prometheus import URL_VARIABLE, Failure, Series
from dashboard.promql import Span
from notebooks import checks_monitoring, monitoring
from notebooks.errors import NotebookError

PAGE = """# HELP asked_total Requests.
# TYPE asked_total counter
asked_total{route="/a"} 3
asked_total{route="/b"} 4
# TYPE done counter
done 7
# TYPE waiting gauge
waiting 0
# TYPE took_seconds histogram
took_seconds_bucket{le="0.1"} 1
took_seconds_bucket{le="+Inf"} 2
took_seconds_sum 0.5
took_seconds_count 2
"""


def test_a_page_is_read_by_what_it_declares_and_not_by_its_names():
    assert [(one.name, one.kind) for one in monitoring.families(PAGE)] == [
        ("asked_total", "counter"),
        ("done", "counter"),
        ("waiting", "gauge"),
        ("took_seconds", "histogram"),
    ]
    assert monitoring.counters_without_total(PAGE) == ["done"]
    counted = monitoring.count_kinds({"server": PAGE, "silent": ""})
    assert counted["server"].tolist() == [2, 1, 1, 0]
    assert counted["silent"].tolist() == [0, 0, 0, 0]


@given(st.lists(st.tuples(st.sampled_from(monitoring.KINDS), st.integers(0, 4)), max_size=8))
def test_no_line_of_a_page_is_lost_and_none_is_counted_twice(parts):
    text = "".join(
        f"# HELP m{i} what\n# TYPE m{i} {kind}\n" + "".join(f"m{i} {n}\n" for n in range(lines))
        for i, (kind, lines) in enumerate(parts)
    )
    found = monitoring.families(text)
    assert [(one.kind, len(one.lines)) for one in found] == parts


def test_lines_of_a_metric_are_those_that_fit_and_the_rest_is_counted():
    assert monitoring.lines_of(PAGE, "asked_total", "/b") == 'asked_total{route="/b"} 4'
    assert monitoring.lines_of(PAGE, "took_seconds", most=1).splitlines()[1] == "… and 3 more"
    with pytest.raises(LookupError, match="no line of asked_total with '/c'"):
        monitoring.lines_of(PAGE, "asked_total", "/c")


def test_a_prometheus_that_does_not_answer_is_said_in_words(monkeypatch):
    monkeypatch.setenv(URL_VARIABLE, "http://127.0.0.1:1")
    with pytest.raises(NotebookError, match="Nothing answers as Prometheus"):
        monitoring.ask("up")


def test_nothing_zero_and_nan_are_three_things(monkeypatch):
    answers = {
        "gap": Series({}, (100.0, 102.0), (1.0, 0.0)),
        "idle": Series({}, (100.0, 101.0, 102.0), (math.nan, math.nan, 5.0)),
        "away": Series({}, (), ()),
    }
    monkeypatch.setattr(monitoring, "over_time", lambda expression, _span: answers[expression])
    table = monitoring.moments({name: name for name in answers}, Span(100.0, 102.0, 1))
    assert table["gap"].tolist() == ["1", "(no series)", "0"]
    assert table["idle"].tolist() == ["NaN", "NaN", "5"]
    assert table["away"].tolist() == ["(no series)"] * 3
    assert monitoring.held_s(answers["gap"]) == 2.0


def test_a_window_is_put_into_the_query_and_its_answers_are_counted(monkeypatch):
    def over_time(expression, _span):
        return (
            Series({}, (100.0, 101.0), (1.0, 1.0)) if "[5s]" in expression else Series({}, (), ())
        )

    monkeypatch.setattr(monitoring, "over_time", over_time)
    table = monitoring.answered("rate(x[WINDOW])", (1, 5), Span(100.0, 103.0, 1))
    assert table["seconds with an answer"].tolist() == [0, 2]
    assert table["of"].tolist() == [4, 4]


def test_what_prometheus_draws_stands_beside_the_bucket_and_the_records(monkeypatch):
    """The numbers of Prometheus' own rule: a straight line through the bucket."""
    counts = {"0.32": 10.0, "+Inf": 10.0}

    def ask(expression, _at_s):
        if expression.startswith("histogram_quantile"):
            return (Series({}, (0.0,), (0.16,)),)
        return tuple(Series({"le": le}, (0.0,), (count,)) for le, count in counts.items())

    monkeypatch.setattr(monitoring, "ask", ask)
    exact = monitoring.np.full(10, 0.02)
    (reading,) = monitoring.read_buckets(exact, {"coarse": "b"}, (0.5,), 0.0)
    assert (reading.exact_s, reading.drawn_s) == (0.02, 0.16)
    assert reading.bounds.below_resolution and reading.bounds.upper == 0.32
    row = monitoring.readings_table([reading]).loc[("p50", "coarse")]
    assert row["off by"] == "+700%"
    assert row["the bucket"] == "≤ 320 ms"


def test_the_span_of_runs_holds_all_their_requests(make_run):
    span = monitoring.span_of(make_run("a", [0.5] * 3), make_run("b", [0.1] * 5))
    # The first is sent at second 0 of the run, the last is answered soon after second 4.
    assert (span.start_s, span.end_s) == (1_799_999_999.0, 1_800_000_006.0)
    assert monitoring.length(span) == "7s"


def test_what_kept_the_promise_is_told_of_every_finished_request(make_run):
    run = make_run("a", [0.05] * 6 + [0.5] * 2)
    assert sorted(monitoring.good(run, 0.2).tolist()) == [False] * 2 + [True] * 6
    assert monitoring.e2e_s(run, run).size == 16


def test_the_burn_rate_of_the_records_is_the_share_that_missed_over_the_budget(make_run):
    run = make_run("a", [0.5] * 4)
    span = Span(1_800_000_000.0, 1_800_000_010.0, 1)
    curve = monitoring.burn_of_records(run, 0.2, 0.01, 2, span)
    # One request ends half a second after each of the seconds 0 to 3: nothing before, nothing late.
    assert [None if math.isnan(one) else round(one) for one in curve.values] == [
        None, 100, 100, 100, 100, 100, None, None, None, None, None
    ]  # fmt: skip
    all_good = monitoring.burn_of_records(run, 1.0, 0.01, 100, span)
    assert all_good.values[-1] == 0


def test_the_records_quantile_needs_enough_answers_in_the_window(make_run):
    run, span = make_run("a", [0.1] * 40), Span(1_800_000_000.0, 1_800_000_020.0, 1)
    line = monitoring.theme.Line("#000000", "solid")
    known = monitoring.of_records(run, 0.9, 10, span, line).values
    assert math.isnan(known[8]) and known[-1] == pytest.approx(0.11)


def test_a_failed_look_at_the_dashboards_panel_is_said(monkeypatch, make_run):
    monkeypatch.setattr(
        monitoring.asking, "read", lambda *_: Failure("unreachable", "Nothing there.")
    )
    instance = SimpleNamespace(name="a", engine="vllm", title="vLLM")
    with pytest.raises(NotebookError, match="Nothing there"):
        monitoring.panel("e2e", instance, make_run("a", [0.1] * 3), 0.9)


def test_a_frozen_process_stands_still_and_goes_on():
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
        process = psutil.Process(child.pid)
        monitoring.freeze(SimpleNamespace(pid=child.pid), after_s=0.0, for_s=0.3)
        _until(lambda: process.status() == psutil.STATUS_STOPPED)
        _until(lambda: process.status() != psutil.STATUS_STOPPED)
        child.kill()


def _until(true):
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def answers(wanted: str, value: float, truth: float = 0.15):
    """Prometheus, as far as a check needs it: the reader's query, and the check's own."""

    def ask(expression, _at_s):
        if expression == "two":
            return (Series({"instance": "a"}, (0.0,), (1.0,)),) * 2
        if expression == "wrong(":
            raise NotebookError("Prometheus refused the query: unclosed left parenthesis")
        return (Series({}, (0.0,), (value if expression == wanted else truth,)),)

    return ask


@pytest.mark.parametrize(
    ("query", "value", "hint"),
    [
        (3, 0.0, "PromQL as a text"),
        ("wrong(", 0.0, "unclosed left parenthesis"),
        ("two", 0.0, "2 series for an answer"),
        ("avg", 0.11, "another one"),
        ("idle", math.nan, "another one"),
    ],
)
def test_a_wrong_query_gets_a_hint(make_run, query, value, hint):
    runs = [make_run("a", [0.1] * 3), make_run("b", [0.1] * 3)]
    found = checks_monitoring.together(query, runs, level=0.9, ask=answers(str(query), value))
    assert not found.ok
    assert hint in found.text
    assert "0.15" not in found.text and "histogram_quantile" not in found.text


def test_a_right_query_is_right_however_it_is_written(make_run):
    runs = [make_run("a", [0.1] * 3), make_run("b", [0.1] * 3)]
    assert checks_monitoring.together("mine", runs, level=0.9, ask=answers("mine", 0.151)).ok


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"burn": "much"}, "`burnt` is a number"),
        ({"burn": 25.0}, "which share of the requests"),
        ({"hours": math.nan}, "`hours` is a number"),
        ({"hours": 720.0}, "`burnt` is right"),
        ({"hours": True}, "`hours` is a number"),
    ],
)
def test_a_wrong_burn_rate_gets_a_hint_and_the_right_one_is_right(make_run, change, hint):
    run = make_run("a", [0.05] * 6 + [0.5] * 2)
    asked = {"limit_s": 0.2, "objective": 0.999, "days": 30}
    right = {"burn": 250.0, "hours": 2.88}
    assert checks_monitoring.burnt(run, **asked, **right).ok
    found = checks_monitoring.burnt(run, **asked, **{**right, **change})
    assert not found.ok
    assert hint in found.text
    assert "250" not in found.text and "2.88" not in found.text
