from dataclasses import replace

import pytest

from measure.verdict import ClientStats, Facts, Verdict, judge

STATS = ClientStats(cpu_s=3.0, wall_s=10.0, max_in_flight=8, loop_lag_p99_s=0.001)
GOOD = Facts(
    stats=STATS,
    finished=True,
    total=1000,
    ok=990,
    offered=1000,
    achieved=998,
    schedule_delay=("p99", 0.001),
    clocks={"kernel": 1000},
)


def test_a_good_run_is_valid_and_nothing_is_said_against_it():
    assert judge(GOOD) == (Verdict.VALID, [])


USER = replace(GOOD, clocks={"user": 1000})
# Late, though not so late that it would be said where the kernel stamps.
LATE = replace(GOOD, stats=replace(STATS, loop_lag_p99_s=0.02))


@pytest.mark.parametrize(
    ("facts", "verdict", "reason"),
    [
        (replace(GOOD, stats=replace(STATS, cpu_s=9.0)), "suspect", "90% of a core"),
        (replace(GOOD, stats=replace(STATS, cpu_s=9.9)), "invalid", "99% of a core"),
        (replace(GOOD, stats=replace(STATS, cpu_s=18.0, processes=2)), "suspect", "90% of a core"),
        (replace(GOOD, stats=replace(STATS, loop_lag_p99_s=0.2)), "suspect", "event loop was late by 200 ms"),
        (replace(GOOD, stats=replace(STATS, loop_lag_p99_s=2.0)), "invalid", "event loop was late by 2000 ms"),
        (replace(USER, stats=replace(STATS, loop_lag_p99_s=0.02)), "suspect", "event loop was late by 20 ms"),
        (replace(USER, stats=replace(STATS, loop_lag_p99_s=0.2)), "invalid", "event loop was late by 200 ms"),
        (replace(GOOD, stats=replace(STATS, cap_hits=1)), "invalid", "held back 1 requests"),
        (replace(GOOD, stats=None), "suspect", "nothing is known of the client"),
        (replace(GOOD, finished=False), "suspect", "did not finish"),
        (replace(GOOD, schedule_delay=("p99", 0.05)), "suspect", "left 50 ms after"),
        (replace(GOOD, schedule_delay=("p99", 0.5)), "invalid", "left 500 ms after"),
        (replace(GOOD, schedule_delay=("p90", 0.5)), "invalid", "at the p90"),
        (replace(GOOD, cut_short_s=(3.5, 8.0)), "suspect", "stopped after 3.5 of 8 s"),
        (replace(GOOD, achieved=980), "suspect", "1000 requests were offered and 980 sent"),
        (replace(GOOD, achieved=900), "invalid", "10.0% apart"),
        (replace(GOOD, clocks={"kernel": 5, "user": 1}), "suspect", "5 by the kernel clock, 1 by the user"),
        (replace(GOOD, stats=replace(STATS, cpu_s=4.0, core_wait_s=5.0)), "suspect", "waiting for one 50% of the time"),
        (replace(GOOD, stats=replace(STATS, cpu_s=4.8, core_wait_s=5.1)), "invalid", "used 48% of a core"),
        (replace(USER, stats=replace(STATS, cpu_s=7.5)), "suspect", "user clock, and the client used 75%"),
        (replace(GOOD, stats=replace(STATS, lost_workers=("w1", "w2"))), "invalid", "lost 2 of its processes (w1, w2)"),
        (replace(GOOD, token_sources={"chunks": 3, "usage": 7}), "suspect", "the tokens of 3 of 10 answers"),
        (replace(GOOD, window_problem="no steady state was found"), "suspect", "no steady state"),
        (replace(GOOD, chunks_per_s=11_000.0, ceiling_per_s=9_000.0), "suspect", "11,000 chunks a second came in"),
        (replace(GOOD, merged_first_chunks=0.06), "suspect", "in 6% of answers the first chunk arrived in one read"),
        (replace(GOOD, merged_first_chunks=0.6), "suspect", "their TTFT is an upper bound"),
        (replace(LATE, merged_first_chunks=0.5), "suspect", "in 50% of answers"),
        (replace(LATE, merged_first_chunks=0.6), "invalid", "in 60% of answers"),
        (replace(LATE, merged_chunks=0.02), "suspect", "2% of chunks arrived in one read with the one before"),
        (replace(LATE, merged_chunks=0.6), "invalid", "the tail of chunk gaps is its own"),
        (replace(GOOD, ok=0), "invalid", "none of the 1000 requests succeeded"),
        (replace(GOOD, total=0, ok=0), "invalid", "no request falls into the window"),
    ],
)  # fmt: skip
def test_each_rule_alone_gives_its_verdict_and_says_why(facts, verdict, reason):
    found, reasons = judge(facts)
    assert found == verdict
    assert len(reasons) == 1 and reason in reasons[0]


def test_the_worst_rule_decides_and_every_reason_is_given():
    facts = replace(
        GOOD,
        finished=False,
        stats=replace(STATS, cpu_s=9.9, cap_hits=3),
        clocks={"kernel": 1, "user": 1},
    )
    verdict, reasons = judge(facts)
    assert verdict is Verdict.INVALID and len(reasons) == 5


def test_two_requests_at_the_edges_of_a_short_window_are_not_held_against_it():
    assert judge(replace(GOOD, offered=100, achieved=98))[0] is Verdict.VALID
    assert judge(replace(GOOD, offered=100, achieved=103))[0] is Verdict.SUSPECT


def test_closed_loop_offers_nothing_that_could_be_missed():
    assert judge(replace(GOOD, offered=None, achieved=3))[0] is Verdict.VALID


def test_a_loop_a_little_late_is_no_doubt_where_the_kernel_stamps_arrivals():
    found, reasons = judge(replace(GOOD, stats=replace(STATS, loop_lag_p99_s=0.02)))
    assert found == "valid"
    assert reasons == []


def test_a_small_sample_is_no_fault_of_the_client():
    assert judge(replace(GOOD, total=9, ok=9, offered=9, achieved=9)) == (Verdict.VALID, [])


@pytest.mark.parametrize(
    "facts",
    [
        replace(GOOD, stats=replace(STATS, cpu_s=7.5)),
        replace(USER, stats=replace(STATS, cpu_s=6.5)),
        replace(GOOD, token_sources={"usage": 7, "tokenizer": 2}),
        replace(GOOD, chunks_per_s=9_000.0, ceiling_per_s=9_000.0),
        replace(GOOD, chunks_per_s=99_000.0, ceiling_per_s=None),
    ],
)
def test_what_stays_below_a_rules_mark_is_no_doubt(facts):
    assert judge(facts) == (Verdict.VALID, [])


@pytest.mark.parametrize("share", [None, 0.0, 0.05])
def test_a_few_first_chunks_that_came_with_the_next_are_no_doubt(share):
    assert judge(replace(GOOD, merged_first_chunks=share)) == (Verdict.VALID, [])


@pytest.mark.parametrize(
    "facts", [replace(GOOD, merged_chunks=0.9), replace(LATE, merged_chunks=0.01)]
)
def test_merged_chunks_are_no_doubt_where_few_or_where_the_client_was_in_time(facts):
    assert judge(facts) == (Verdict.VALID, [])


def test_a_run_ended_before_its_first_moment_says_nothing_of_its_share_of_a_core():
    ended = replace(GOOD, total=0, ok=0, stats=replace(STATS, cpu_s=0.004, wall_s=0.0))
    assert judge(ended) == (Verdict.INVALID, ["no request falls into the window"])
