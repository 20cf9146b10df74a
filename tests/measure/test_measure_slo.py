from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from measure.errors import MeasureError
from measure.records import Status
from measure.slo import Slo, met

LIMIT = st.none() | st.floats(1e-6, 1e6)


@given(st.builds(Slo, LIMIT, LIMIT, LIMIT, LIMIT).filter(lambda slo: slo.asked))
def test_an_slo_reads_back_what_it_writes(slo):
    assert Slo.parse(str(slo)) == slo
    assert Slo.from_dict(slo.as_dict()) == slo


def test_limits_are_seconds_or_milliseconds():
    assert Slo.parse(" ttft = 0.5 , itl=50ms,e2e=2s") == Slo(ttft_s=0.5, itl_s=0.05, e2e_s=2.0)


@pytest.mark.parametrize(
    "text",
    ["", "ttft", "ttft=", "ttft=fast", "ttft=-1", "ttft=0", "latency=1", "ttft=1,,itl=1", "ttft=1m",
     "ttft=inf", "ttft=nan", "ttft=1e999", "=1"],
)  # fmt: skip
def test_an_slo_that_is_not_understood_is_named(text):
    with pytest.raises(MeasureError, match="not understood"):
        Slo.parse(text)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused_with_the_rooms_own_error(text):
    with suppress(MeasureError):
        assert Slo.parse(text).asked


def test_a_limit_given_twice_is_refused():
    with pytest.raises(MeasureError, match="itl twice"):
        Slo.parse("itl=1,itl=2")


def test_every_objective_asked_for_must_be_met(table, make_record):
    records = table(
        make_record(0.0, (0.1, 0.2)),
        make_record(0.0, (0.6, 0.7)),
        make_record(0.0, (0.1, 0.9)),
        make_record(0.0, (0.1, 0.2), status=Status.STREAM_ERROR),
    )
    assert met(records, Slo(ttft_s=0.5, itl_s=0.2)).tolist() == [True, False, False, False]
    assert met(records, Slo(ttft_s=0.5)).tolist() == [True, False, True, False]
    assert met(records, Slo()).tolist() == [True, True, True, False]


def test_an_answer_of_one_token_misses_an_slo_on_the_time_between_tokens(table, make_record):
    records = table(make_record(0.0, (0.1,), tokens=1))
    assert met(records, Slo(ttft_s=0.5)).tolist() == [True]
    assert met(records, Slo(tpot_s=0.5)).tolist() == [False]
    assert met(records, Slo(ttft_s=0.5, itl_s=0.5)).tolist() == [False]


def test_in_open_loop_the_wait_before_sending_counts(table, make_record):
    records = table(make_record(1.0, (0.1, 0.2), scheduled=0.0))
    assert met(records, Slo(ttft_s=0.5)).tolist() == [True]
    assert met(records, Slo(ttft_s=0.5), from_schedule=True).tolist() == [False]
    assert met(records, Slo(e2e_s=0.5), from_schedule=True).tolist() == [False]
