import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from measure import latency
from measure.records import SCHEMA, Status

REQUEST = {
    latency.ttft_s: 0.2,
    latency.ttft_from_schedule_s: 0.7,
    latency.e2e_s: 1.0,
    latency.e2e_from_schedule_s: 1.5,
    latency.schedule_delay_s: 0.5,
    latency.tpot_s: 0.8 / 9,
    latency.itl_s: 0.8 / 8,
}


@pytest.mark.parametrize("definition", REQUEST, ids=lambda definition: definition.__name__)
def test_each_definition_on_a_request_worked_by_hand(definition, table, make_record):
    record = make_record(10.0, (0.2, 0.5, 1.0), scheduled=9.5, tokens=10, first_chunk_tokens=2)
    assert definition(table(record))[0] == pytest.approx(REQUEST[definition])


def test_a_first_chunk_of_unknown_size_is_taken_to_hold_one_token(table, make_record):
    record = make_record(0.0, (0.2, 1.0), tokens=9)
    assert latency.itl_s(table(record))[0] == pytest.approx(0.8 / 8)


@pytest.mark.parametrize(
    "facts",
    [
        {"after": (0.2,), "tokens": 1},
        {"after": (0.2,), "tokens": 32},
        {"after": (0.2, 0.4), "tokens": None},
        {"after": (), "tokens": 0},
    ],
    ids=["one token", "all in one piece", "nobody counted", "nothing came"],
)
def test_itl_and_tpot_are_undefined_where_no_token_follows(facts, table, make_record):
    records = table(make_record(0.0, **facts))
    assert math.isnan(latency.itl_s(records)[0]) and math.isnan(latency.tpot_s(records)[0])


def test_itl_is_undefined_where_the_first_chunk_held_every_token(table, make_record):
    records = table(make_record(0.0, (0.2, 0.4), tokens=3, first_chunk_tokens=3))
    assert math.isnan(latency.itl_s(records)[0])
    assert latency.tpot_s(records)[0] == pytest.approx(0.1)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.OK])
def test_a_request_that_did_not_end_well_has_no_latency(status, table, make_record):
    records = table(make_record(0.0, (0.2, 0.4), scheduled=-1.0, status=status))
    for definition in REQUEST:
        if definition is not latency.schedule_delay_s:
            assert math.isnan(definition(records)[0])
    assert latency.chunk_gaps(records).gap_s.size == 0
    assert latency.schedule_delay_s(records)[0] == 1.0


def test_gaps_never_reach_from_one_request_into_the_next(table, make_record):
    gaps = latency.chunk_gaps(
        table(
            make_record(0.0, (0.1, 0.3)),
            make_record(5.0, ()),
            make_record(6.0, (0.5, 0.6), status=Status.STREAM_ERROR),
            make_record(7.0, (1.0,)),
            make_record(9.0, (0.1, 0.2, 0.7)),
        )
    )
    assert gaps.gap_s == pytest.approx([0.2, 0.1, 0.5])
    assert gaps.row.tolist() == [0, 4, 4]


def test_no_records_give_no_latencies():
    empty = SCHEMA.empty_table()
    for definition in REQUEST:
        assert definition(empty).shape == (0,)
    assert latency.chunk_gaps(empty).gap_s.size == 0


CHUNK_LISTS = st.lists(
    st.lists(st.floats(0.001, 5.0), min_size=0, max_size=6).map(sorted), min_size=1, max_size=12
)


@given(CHUNK_LISTS, st.integers(0, 12))
def test_gaps_agree_with_a_plain_loop_however_the_table_is_cut(make_record, table, lists, cut):
    records = [make_record(float(number), tuple(after)) for number, after in enumerate(lists)]
    whole = table(*records)
    pieces = pa.concat_tables([whole.slice(0, cut), whole.slice(cut)])
    expected = [float(gap) for record in records for gap in np.diff(record.chunk_s)]
    assert latency.chunk_gaps(pieces).gap_s == pytest.approx(expected)
    assert latency.chunks(pieces).count.tolist() == [len(after) for after in lists]
