"""Batchers under the virtual clock of notebook 07, and the checks of its exercise."""

import asyncio
import math

import pyarrow as pa
import pytest

from measure import server_metrics
from notebooks import checks_batcher, own_batcher, virtual_time
from notebooks.own_batcher import DELAY_S, SIZE, TICK_S

BURST = [0.003, *(0.030 + 0.001 * place for place in range(12)), 0.083]


def right(waiting, oldest_s):
    return 0.0 if waiting >= SIZE else DELAY_S - oldest_s


def test_a_lone_request_waits_for_the_tick_or_for_its_deadline():
    tick, due = own_batcher.polling([0.003]), own_batcher.by_deadline([0.003])
    assert [one.requests[0].began_s for one in (tick, due)] == pytest.approx([0.010, 0.008])
    assert tick.requests[0].ended_s == pytest.approx(0.015)


def test_with_the_right_rule_ones_own_batcher_is_the_engines():
    arrivals_s = [0.003, *(0.030 + 0.0011 * place for place in range(12)), 0.083]
    mine = own_batcher.by_rule(right, arrivals_s)
    engines = own_batcher.by_deadline(arrivals_s)
    assert [one.batch for one in mine.requests] == [one.batch for one in engines.requests]
    assert [one.began_s for one in mine.requests] == pytest.approx(
        [one.began_s for one in engines.requests]
    )


def test_what_fails_and_who_leaves_is_told():
    trouble = {"bad": {5}, "leave_s": {7: 0.0375}}
    naive, good = (
        play(BURST, **trouble) for play in (own_batcher.polling, own_batcher.by_deadline)
    )
    assert [one.outcome for one in good.requests].count("failed") == 1
    assert [one.outcome for one in naive.requests].count("failed") > 1
    assert good.requests[7].outcome == naive.requests[7].outcome == "left"
    assert good.requests[7].batch == -1 and naive.requests[7].batch >= 0
    table = own_batcher.told(naive, good)
    assert list(table["computed in vain"]) == [1, 0]


def test_a_full_queue_is_refused():
    story = own_batcher.by_deadline([0.0] * 60)
    assert {one.outcome for one in story.requests} == {"answered", "refused"}


def test_the_timeline_draws_every_request_once_as_waiting_and_once_as_computing():
    story = own_batcher.polling(BURST)
    bars = own_batcher.timeline(story, story).data
    assert [bar.name for bar in bars] == ["waiting", "computing"] * 2
    assert all(len(bar.x) == len(BURST) for bar in bars)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (lambda waiting, oldest_s: 0.0, "not full"),
        (lambda waiting, oldest_s: DELAY_S - oldest_s, "waits on"),
        (lambda waiting, oldest_s: 0.0 if waiting >= SIZE else 60.0, "for ever"),
        (lambda waiting, oldest_s: 0.0 if waiting > SIZE else DELAY_S - oldest_s, "waits on"),
        (lambda waiting, oldest_s: 1 / 0, "ZeroDivisionError"),
        (lambda waiting, oldest_s: None, "TypeError"),
        (lambda waiting: 0.0, "TypeError"),
        (7, "is a function"),
    ],
)
def test_a_rule_that_is_not_right_is_told_what_it_did(rule, words):
    feedback = checks_batcher.rule(rule)
    assert not feedback.ok and words in feedback.text


def test_the_right_rule_is_right():
    assert checks_batcher.rule(right).ok


def with_queue_time(run, total_s, count):
    """The run, whose engine's histogram gained this while it counted."""
    gains = {"sum": ([], total_s), "count": ([], count), "bucket": ([("le", "+Inf")], count)}
    rows = [
        {
            "t_s": at_s,
            "metric": f"batcher_queue_time_seconds_{end}",
            "labels": labels,
            "value": value,
        }
        for end, (labels, gain) in gains.items()
        for at_s, value in ((run.window.start_s - 0.5, 0.0), (run.window.end_s - 0.5, gain))
    ]
    server_metrics.write(run.path, pa.Table.from_pylist(rows, server_metrics.SCHEMA))
    return run


def test_the_ticks_waited_are_the_engines_mean_over_the_tick(make_run):
    run = with_queue_time(make_run("fastapi-batcher", [0.1] * 40), 0.36, 40)
    assert own_batcher.account(run).queue_s == pytest.approx(0.009)
    assert checks_batcher.ticks_waited(run, answer=0.009 / TICK_S).ok
    assert not checks_batcher.ticks_waited(run, answer=0.5).ok
    assert not checks_batcher.ticks_waited(run, answer="0.9").ok


def test_a_run_without_the_engines_numbers_is_not_judged(make_run):
    run = make_run("fastapi-batcher", [0.1] * 40)
    assert math.isnan(own_batcher.account(run).batch)
    assert "load it again" in checks_batcher.ticks_waited(run, answer=0.9).text


def test_in_virtual_time_a_day_passes_at_once_and_a_deadlock_is_an_error():
    async def a_day():
        await asyncio.sleep(86_400)
        return virtual_time.now_s()

    async def never():
        await asyncio.Event().wait()

    assert virtual_time.run_beside(a_day) == 86_400
    with pytest.raises(RuntimeError, match="nothing will ever happen"):
        virtual_time.run_beside(never)
