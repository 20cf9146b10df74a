import pytest

from measure import table as shown
from measure.quantiles import LEVELS, carried
from measure.records import TokenSource
from measure.summary import summarise
from measure.verdict import ClientStats

STATS = ClientStats(cpu_s=0.5, wall_s=12.0, max_in_flight=4, end_s=10.0)


@pytest.fixture
def summary(table, make_record, make_manifest):
    def make(kind="closed", after=(0.1, 0.2, 0.3), count=10, **facts):
        records = table(*[make_record(n * 0.5, after) for n in range(count)])
        return summarise(records, make_manifest(kind, **facts), STATS)

    return make


def test_a_closed_loop_shows_nothing_that_only_a_schedule_gives_a_meaning(summary):
    closed = [row.key for row in shown.latency_rows(summary())]
    assert closed == ["ttft_s", "itl_s", "chunk_gap_s", "tpot_s", "e2e_s"]
    opened = [row.key for row in shown.latency_rows(summary("poisson"))]
    assert set(opened) - set(closed) == set(shown.OPEN_LOOP_ONLY)


def test_answers_in_one_piece_have_no_row_that_repeats_their_e2e(summary):
    assert [row.key for row in shown.latency_rows(summary(after=(0.1,)))] == ["e2e_s"]
    opened = [row.key for row in shown.latency_rows(summary("poisson", after=(0.1,)))]
    assert opened == ["ttft_from_schedule_s", "e2e_s", "schedule_delay_s"]


def test_a_row_holds_what_the_summary_holds(summary):
    found = summary()
    row = next(row for row in shown.latency_rows(found) if row.key == "e2e_s")
    assert (row.title, row.count) == ("E2E", 10)
    assert row.values_s == {name: found["e2e_s"][name] for name in shown.COLUMNS}


def test_rates_that_are_not_known_are_left_out(summary, table, make_record, make_manifest):
    assert [rate.key for rate in shown.rates(summary())] == [
        "achieved_rps",
        "answered_rps",
        "output_tokens_per_s",
    ]
    assert shown.rates(summary("poisson"))[0].key == "offered_rps"
    nobody = make_record(0.0, (0.1,), tokens=None, token_source=TokenSource.NONE)
    quiet = summarise(table(nobody), make_manifest(), STATS)
    assert [rate.title for rate in shown.rates(quiet)] == ["sent", "answered"]


def test_how_the_requests_ended_is_said_in_words(summary):
    assert shown.outcome(summary()) == "10 answered, 0 failed, 0 cancelled"


@pytest.mark.parametrize("count", [1, 9, 10, 11, 19, 20, 99, 100, 999, 1000])
def test_whoever_asks_for_a_quantile_the_answers_do_not_carry_reads_how_many_it_takes(count):
    said = shown.too_few({"e2e_s": {"count": count}}) or ""
    missing = {shown.COLUMNS[name] for name, level in LEVELS.items() if not carried(count, level)}
    assert {part.split()[0] for part in said.partition(": ")[2].split(", ") if part} == missing


def test_without_answers_nothing_is_said_of_their_number():
    assert shown.too_few({"e2e_s": {"count": 0}}) is None


def test_what_was_left_out_as_warm_up_is_said(summary):
    assert shown.warmup(summary()) is None
    assert shown.warmup(summary(warmup_s=1.0)) == "warm-up left out: 1.0 s, 2 requests"
    found = summary(warmup_s=1.0)
    found["window"]["warmup"] = {"rule": "steady"}
    assert "steady from there" in shown.warmup(found)
    found["window"]["start_s"] = 0.0
    assert "steady from the start" in shown.warmup(found)
    found["window"]["problem"] = "2 answers are too few, it takes 200"
    assert shown.warmup(found) is None
    del found["window"]
    assert shown.warmup(found) is None


def test_a_load_test_that_ended_before_its_warm_up_is_still_described(summary):
    late = summary(warmup_s=60.0)
    assert shown.latency_rows(late) == [] and "10 requests" in shown.warmup(late)
