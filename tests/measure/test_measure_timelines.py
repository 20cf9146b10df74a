"""Servers' series and the client's requests over the time of a run."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from measure import server_metrics
from measure.concurrency import in_flight
from measure.records import SCHEMA
from measure.server_series import counter_increase
from measure.server_timeline import gauge, rate, ratio

TIMES_S = (-1.0, 0.0, 1.0, 2.0, 3.0)


def table(*series: tuple[str, dict[str, str], list[float]]) -> pa.Table:
    rows = [
        (t_s, metric, list(labels.items()), float(value))
        for metric, labels, values in series
        for t_s, value in zip(TIMES_S, values, strict=True)
    ]
    columns = [list(column) for column in zip(*rows, strict=True)]
    return pa.table(columns, schema=server_metrics.SCHEMA)


def requests(*moments: tuple[float | None, float | None]) -> pa.Table:
    empty = dict.fromkeys(SCHEMA.names)
    rows = [
        empty
        | {"request_id": str(i), "worker": 0, "scheduled_s": 0.0, "status": "ok", "chunk_s": []}
        | {"sent_s": sent, "done_s": done, "chunks": 0, "token_source": "none", "clock": "user"}
        for i, (sent, done) in enumerate(moments)
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def test_a_gauge_is_put_together_over_its_series_at_each_scrape():
    rows = table(("g", {"worker": "1"}, [1, 2, 3, 4, 5]), ("g", {"worker": "2"}, [5, 0, 0, 0, 1]))
    assert gauge(rows, "g")[0].tolist() == list(TIMES_S)
    assert gauge(rows, "g")[1].tolist() == [6, 2, 3, 4, 6]
    assert gauge(rows, "g", how="max")[1].tolist() == [5, 2, 3, 4, 5]
    assert gauge(rows, "g", {"worker": "2"})[1].tolist() == [5, 0, 0, 0, 1]
    assert gauge(rows, "absent")[0].size == 0


def test_a_rate_is_growth_over_the_stretch_before_and_bears_a_restart():
    rows = table(("c_total", {}, [0, 10, 30, 5, 15]))
    times_s, found = rate(rows, "c_total", stretch_s=2.0)
    assert times_s.tolist() == list(TIMES_S)
    assert np.isnan(found[0])
    assert found[1:].tolist() == [10, 15, 12.5, 7.5]


def test_a_mean_of_steps_is_nothing_where_nothing_was_computed():
    rows = table(
        ("tokens", {}, [0, 8, 8, 8, 40]),
        ("steps", {}, [0, 2, 2, 2, 6]),
        ("other", {}, [1, 1, 1, 1, 1]),
    )
    found = ratio(rows, "tokens", "steps", stretch_s=1.0)[1]
    assert np.isnan(found[[0, 2, 3]]).all()
    assert found[[1, 4]].tolist() == [4, 8]
    assert np.isnan(ratio(rows, "tokens", "other")[1]).all()
    assert ratio(rows, "tokens", "absent")[0].size == 0


@given(st.lists(st.lists(st.integers(0, 9), min_size=5, max_size=5), min_size=1, max_size=3))
def test_growth_over_all_of_a_run_is_its_increase(several):
    rows = table(*(("c", {"i": str(i)}, np.cumsum(one)) for i, one in enumerate(several)))
    whole_s = TIMES_S[-1] - TIMES_S[0]
    expected = counter_increase(rows, "c", TIMES_S[0], TIMES_S[-1])
    assert rate(rows, "c", stretch_s=whole_s)[1][-1] == pytest.approx(expected / whole_s)


@given(st.lists(st.tuples(st.floats(0, 9), st.none() | st.floats(0, 9)), min_size=1, max_size=20))
def test_in_flight_is_the_mean_of_what_was_sent_and_is_not_over(pairs):
    moments = [(sent, None if took is None else sent + took) for sent, took in pairs]
    middles_s, means = in_flight(requests(*moments), bins=8)
    for middle_s, mean in zip(middles_s, means, strict=True):
        low, high = middle_s - middles_s[0], middle_s + middles_s[0]
        shares = [
            max(min(high, high if done is None else done) - max(low, sent), 0)
            for sent, done in moments
        ]
        assert mean == pytest.approx(sum(shares) / (high - low), abs=1e-6)


def test_in_flight_leaves_out_what_was_never_sent_and_bears_no_records():
    middles_s, means = in_flight(requests((None, 2.0), (1.0, 4.0)), bins=4)
    assert middles_s.tolist() == [0.5, 1.5, 2.5, 3.5]
    assert means.tolist() == [0, 1, 1, 1]
    assert in_flight(requests())[0].size == 0
