import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from measure.files import plain
from measure.records import SCHEMA, Clock, Status
from measure.slo import Slo
from measure.summary import MAX_ERROR_KINDS, OTHER_ERRORS, in_flight, summarise
from measure.verdict import ClientStats
from measure.window import Window, tokens_in

KEYS = [
    "window_s", "window", "requests", "offered_rps", "achieved_rps", "answered_rps", "goodput_rps",
    "slo_attainment", "output_tokens_per_s", "ttft_s", "ttft_from_schedule_s", "itl_s", "chunk_gap_s", "tpot_s",
    "e2e_s", "schedule_delay_s", "client",
]  # fmt: skip
QUANTITY_KEYS = [
    "count", "effective_count", "mean", "p50", "p90", "p95", "p99", "p999", "max", "ci95",
]  # fmt: skip
CLIENT_KEYS = [
    "cpu_s",
    "cpu_us_per_chunk",
    "max_in_flight",
    "clock",
    "merged_first_chunks",
    "merged_chunks",
    "verdict",
    "reasons",
]


def _stats(end_s=10.0, **more):
    return ClientStats(
        **{"cpu_s": 0.5, "wall_s": end_s + 2, "max_in_flight": 4, "end_s": end_s, **more}
    )


@pytest.mark.parametrize("some", [True, False], ids=["records", "no records"])
def test_a_summary_has_the_documented_shape(some, table, make_record, make_manifest):
    records = table(make_record()) if some else SCHEMA.empty_table()
    found = summarise(records, make_manifest(), _stats())
    assert list(found) == KEYS
    assert list(found["requests"]) == ["total", "ok", "failed", "cancelled", "by_error"]
    assert list(found["client"]) == CLIENT_KEYS
    assert list(found["ttft_s"]) == list(found["chunk_gap_s"]) == QUANTITY_KEYS
    assert list(found["ttft_s"]["ci95"]) == ["p50", "p90", "p95", "p99", "p999"]
    assert plain(found) == json.loads(json.dumps(found, allow_nan=False))


def test_warm_up_is_cut_from_requests_tokens_and_duration_alike(table, make_record, make_manifest):
    """A steady load of one request and three tokens a second must be the same with a warm-up."""
    records = table(*[make_record(float(second)) for second in range(10)])
    for warmup_s in (0.0, 4.0):
        found = summarise(records, make_manifest(warmup_s=warmup_s), _stats())
        assert found["window_s"] == 10.0 - warmup_s
        assert found["requests"]["total"] == 10 - warmup_s
        assert found["achieved_rps"] == pytest.approx(1.0)
        assert found["output_tokens_per_s"] == pytest.approx(3.0)


def test_an_overloaded_server_answers_what_it_can_and_not_what_is_asked_of_it(
    table, make_record, make_manifest
):
    """Twenty a second for 10 s, answered four a second: the rest is answered after the load."""
    asked = [make_record(n / 20, (0.001, (n + 1) / 4 - n / 20)) for n in range(200)]
    found = summarise(table(*asked), make_manifest("poisson", rate_rps=20.0), _stats())
    assert found["achieved_rps"] == pytest.approx(20.0)
    assert found["answered_rps"] == pytest.approx(4.0, rel=0.03)


def test_the_drain_is_in_no_rate_and_its_latencies_count(table, make_record, make_manifest):
    records = table(make_record(9.0, (0.5, 5.0)))
    found = summarise(records, make_manifest(), _stats(end_s=10.0))
    assert found["requests"]["total"] == 1
    assert found["e2e_s"]["max"] == pytest.approx(5.0)
    assert found["output_tokens_per_s"] == pytest.approx(1 / 10)


def test_a_request_belongs_to_the_window_it_was_wanted_in(table, make_record, make_manifest):
    records = table(make_record(6.0, scheduled=4.0), make_record(12.0, scheduled=8.0))
    found = summarise(records, make_manifest("poisson", warmup_s=5.0), _stats())
    assert found["requests"]["total"] == 1
    assert found["offered_rps"] == pytest.approx(1 / 5)
    assert found["achieved_rps"] == pytest.approx(1 / 5)
    assert found["schedule_delay_s"]["max"] == 4.0
    closed = summarise(records, make_manifest("closed", warmup_s=5.0), _stats())
    assert closed["requests"]["total"] == 1 and closed["offered_rps"] is None
    assert closed["schedule_delay_s"]["max"] == 2.0


def test_without_word_from_the_client_the_window_ends_with_what_was_seen(
    table, make_record, make_manifest
):
    records = table(make_record(0.0), make_record(7.0, (0.5, 1.0)))
    assert summarise(records, make_manifest(duration_s=60.0), None)["window_s"] == 8.0
    assert summarise(records, make_manifest(duration_s=6.0), None)["window_s"] == 6.0
    assert summarise(records, make_manifest(warmup_s=60.0), None)["window_s"] == 0.0


def test_a_stalled_server_does_not_shorten_the_window(table, make_record, make_manifest):
    records = table(make_record(0.0))
    assert summarise(records, make_manifest(), _stats(end_s=60.0))["window_s"] == 60.0


def test_failed_requests_stay_out_of_latency_and_in_the_rates(table, make_record, make_manifest):
    records = table(
        make_record(0.0),
        make_record(1.0, (0.5,), status=Status.STREAM_ERROR, error="server says no", tokens=1),
        make_record(2.0, (), status=Status.HTTP_ERROR, http_status=503),
        make_record(3.0, (), status=Status.HTTP_ERROR, http_status=503),
        make_record(9.9, (0.05,), status=Status.CANCELLED, tokens=1),
    )
    found = summarise(records, make_manifest(slo=Slo(ttft_s=1.0)), _stats())
    assert found["requests"] == {
        "total": 5,
        "ok": 1,
        "failed": 3,
        "cancelled": 1,
        "by_error": {"http_error 503": 2, "stream_error: server says no": 1},
    }
    assert found["achieved_rps"] == pytest.approx(0.5)
    assert found["ttft_s"]["count"] == 1
    assert found["output_tokens_per_s"] == pytest.approx(0.5)
    assert found["goodput_rps"] == pytest.approx(0.1)
    assert found["slo_attainment"] == pytest.approx(1 / 4)


def test_without_an_slo_there_is_no_goodput(table, make_record, make_manifest):
    found = summarise(table(make_record()), make_manifest(), _stats())
    assert found["goodput_rps"] is None and found["slo_attainment"] is None


def test_many_kinds_of_error_are_kept_in_bounds_and_all_counted(table, make_record, make_manifest):
    records = table(
        *[
            make_record(1.0, (), status=Status.STREAM_ERROR, error=f"kind {n % 50} " + "x" * 500)
            for n in range(120)
        ]
    )
    errors = summarise(records, make_manifest(), _stats())["requests"]["by_error"]
    assert sum(errors.values()) == 120
    assert len(errors) == MAX_ERROR_KINDS + 1 and OTHER_ERRORS in errors
    assert max(map(len, errors)) < 250


def test_the_clients_cost_is_over_every_chunk_of_the_run(table, make_record, make_manifest):
    records = table(make_record(0.0), make_record(6.0))
    client = summarise(records, make_manifest(warmup_s=5.0), _stats(cpu_s=0.6))["client"]
    assert client["cpu_us_per_chunk"] == pytest.approx(100_000)
    assert (client["max_in_flight"], client["clock"]) == (4, "user")
    mixed = table(make_record(0.0), make_record(1.0, clock=Clock.KERNEL))
    assert summarise(mixed, make_manifest(), _stats())["client"]["clock"] == "mixed"


def test_requests_in_flight_are_counted_from_the_records_if_nobody_else_did(
    table, make_record, make_manifest
):
    records = table(
        make_record(0.0, (1.0,)),
        make_record(0.5, (1.0,)),
        make_record(1.0, (1.0,)),
        make_record(1.2, sent_s=None),
    )
    times, flying = in_flight(records)
    assert dict(zip(times.tolist(), flying.tolist(), strict=True)) == {
        0.0: 1,
        0.5: 2,
        1.0: 2,
        1.5: 1,
        2.0: 0,
    }
    assert summarise(records, make_manifest(), None)["client"]["max_in_flight"] == 2


def test_tokens_are_spread_over_the_chunks_that_brought_them(table, make_record):
    records = table(make_record(0.0, (1.0, 2.0, 3.0), tokens=10, first_chunk_tokens=4))
    assert tokens_in(records, Window(0.0, 10.0)) == pytest.approx(10)
    assert tokens_in(records, Window(0.0, 1.5)) == pytest.approx(4)
    assert tokens_in(records, Window(1.5, 2.5)) == pytest.approx(3)
    assert tokens_in(table(make_record(0.0, (1.0,), tokens=32)), Window(0.5, 1.5)) == pytest.approx(
        32
    )
    assert tokens_in(table(make_record(0.0, (1.0, 2.0), tokens=None)), Window(0.0, 9.0)) == 0


REQUESTS = st.lists(
    st.tuples(
        st.floats(0, 20),
        st.lists(st.floats(0.01, 9.0), max_size=5).map(lambda times: tuple(sorted(times))),
        st.none() | st.integers(0, 40),
        st.none() | st.integers(1, 50),
    ),
    max_size=10,
)


@given(REQUESTS, st.floats(0, 30))
def test_no_token_is_lost_or_counted_twice_between_neighbouring_windows(
    make_record, table, requests, cut
):
    records = table(
        *[
            make_record(sent, after, tokens=tokens, first_chunk_tokens=first)
            for sent, after, tokens, first in requests
        ]
    )
    parts = tokens_in(records, Window(0.0, cut)) + tokens_in(records, Window(cut, 100.0))
    counted = sum(tokens or 0 for _, after, tokens, _ in requests if after)
    assert parts == pytest.approx(counted)


def test_first_chunks_read_together_with_the_next_are_told_as_a_share(
    table, make_record, make_manifest
):
    records = table(
        make_record(6.0, (0.1, 0.1, 0.2)),
        make_record(6.5, (0.1, 0.2, 0.2)),
        make_record(7.0, (0.1, 0.2)),
        make_record(7.5, (0.1, 0.2)),
        # Neither of these can say: one chunk, no chunk, failed, before the window.
        make_record(8.0, (0.1,)),
        make_record(8.5, ()),
        make_record(9.0, (0.1, 0.1), status=Status.TIMEOUT),
        make_record(1.0, (0.1, 0.1)),
    )
    client = summarise(records, make_manifest(warmup_s=5.0), _stats())["client"]
    assert client["merged_first_chunks"] == 0.25
    assert client["merged_chunks"] == pytest.approx(2 / 6)
    assert any("in 25% of answers" in reason for reason in client["reasons"])
    one_chunk = table(make_record(6.0, (0.1,)), make_record(7.0, ()))
    client = summarise(one_chunk, make_manifest(), _stats())["client"]
    assert client["merged_first_chunks"] is client["merged_chunks"] is None


def test_intervals_do_not_depend_on_the_order_in_which_answers_were_written(
    table, make_record, make_manifest
):
    """Records are written as answers end, by several workers; what counts is who was sent when."""
    rng = np.random.default_rng(1)
    waits = np.repeat(rng.exponential(size=50), 8) + 0.01
    records = [
        make_record(number * 0.01, (wait, wait + 0.1)) for number, wait in enumerate(waits.tolist())
    ]
    shuffled = [records[place] for place in rng.permutation(len(records))]
    found, other = (
        summarise(table(*some), make_manifest(), _stats()) for some in (records, shuffled)
    )
    for quantity in ("ttft_s", "e2e_s", "chunk_gap_s"):
        assert found[quantity]["ci95"] == other[quantity]["ci95"]
        assert found[quantity]["effective_count"] == other[quantity]["effective_count"]
    assert found["ttft_s"]["effective_count"] < 80


def test_too_few_requests_for_a_p99_are_judged_by_the_quantile_they_carry(
    table, make_record, make_manifest
):
    late = [make_record(at + 0.5, scheduled=at) for at in np.linspace(0.0, 9.0, 30)]
    found = summarise(table(*late), make_manifest("poisson"), _stats())
    assert found["schedule_delay_s"]["p99"] is None
    assert found["client"]["verdict"] == "invalid"
    assert any("500 ms after they were wanted" in reason for reason in found["client"]["reasons"])


@pytest.mark.parametrize(
    ("end_s", "arrival", "said"),
    [
        (10.0, {}, False),
        (9.8, {}, False),
        (6.0, {}, True),
        (6.0, {"ends_s": 5.9}, False),
        (3.0, {"ends_s": 5.9}, True),
    ],
)
def test_a_load_that_was_stopped_early_says_so(
    end_s, arrival, said, table, make_record, make_manifest
):
    manifest = make_manifest()
    manifest["finished"] = True
    manifest["load"]["duration_s"] = 10.0
    manifest["load"]["arrival"] |= arrival
    found = summarise(table(make_record(1.0), make_record(2.0)), manifest, _stats(end_s=end_s))
    reasons = found["client"]["reasons"]
    assert any("the load was stopped" in reason for reason in reasons) is said


@pytest.mark.parametrize("status", [Status.STREAM_ERROR, Status.TIMEOUT])
def test_requests_that_reached_no_server_are_not_the_clients_fault(
    table, make_record, make_manifest, status
):
    """It was on time, and nobody took them: that it sent too little cannot be said of it."""
    answered = [make_record(n / 10) for n in range(50)]
    refused = [
        replace(make_record(n / 10), status=status, sent_s=None, chunk_s=[]) for n in range(50, 100)
    ]
    manifest = make_manifest("poisson", finished=True)
    found = summarise(table(*answered, *refused), manifest, _stats())
    assert found["client"]["verdict"] == "valid", found["client"]["reasons"]
    assert found["achieved_rps"] == pytest.approx(5.0)
    never = [replace(one, status=Status.CANCELLED) for one in refused]
    assert summarise(table(*answered, *never), manifest, _stats())["client"]["verdict"] == "invalid"
