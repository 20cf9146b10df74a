"""The two batchers under a clock that only they move: when what is computed, and for whom."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notebooks.virtual_time import now_s, run
from servers.fastapi_batcher.inside.batching import (
    Batch,
    DeadlineBatcher,
    Draining,
    QueueFull,
)
from servers.fastapi_batcher.inside.polling import PollingBatcher

EPS_S = 1e-6


@dataclass
class Model:
    """Computes for `cost_s`, writes down every batch, and fails on the items it is told to."""

    cost_s: float = 1.0
    bad: frozenset = frozenset()
    began_s: list[float] = field(default_factory=list)
    ended_s: list[float] = field(default_factory=list)
    batches: list[list] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def __call__(self, items: list) -> list:
        self.began_s.append(now_s())
        self.batches.append(items)
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        await asyncio.sleep(self.cost_s)
        self.at_once -= 1
        self.ended_s.append(now_s())
        if self.bad & set(items):
            raise ValueError(f"cannot compute {sorted(self.bad & set(items))}")
        return [-item for item in items]


def deadline(model: Model, **given_) -> DeadlineBatcher:
    settings = {"max_batch_size": 4, "max_delay_s": 5.0, "max_queue": 100}
    return DeadlineBatcher(model, **settings | given_)


async def each(batcher, items) -> list:
    """What became of each: its result, or its error."""
    return await asyncio.gather(*map(batcher.submit, items), return_exceptions=True)


def test_a_lone_request_leaves_at_its_deadline():
    model = Model()
    assert run(lambda: each(deadline(model), [7])) == [-7]
    assert model.began_s == [5.0]


def test_a_full_batch_leaves_at_once_and_the_rest_at_the_deadline():
    model = Model()
    assert run(lambda: each(deadline(model, instances=2), range(6))) == [-n for n in range(6)]
    assert model.batches == [[0, 1, 2, 3], [4, 5]]
    assert model.began_s == [0.0, 5.0]


def test_without_delay_what_waits_while_all_are_busy_is_the_next_batch():
    model = Model(cost_s=2.0)

    async def scenario():
        batcher = deadline(model, max_delay_s=0.0)
        first = batcher.submit(1)
        await asyncio.sleep(0.5)
        return await asyncio.gather(first, batcher.submit(2), batcher.submit(3))

    assert run(scenario) == [-1, -2, -3]
    assert model.batches == [[1], [2, 3]]
    assert model.began_s == [0.0, 2.0]


def test_a_request_that_is_taken_back_is_not_computed_and_gives_its_place_free():
    model = Model()

    async def scenario():
        batcher = deadline(model, max_queue=2)
        gone, stays = batcher.submit(1), batcher.submit(2)
        with pytest.raises(QueueFull):
            batcher.submit(3)
        await asyncio.sleep(1.0)
        gone.cancel()
        await asyncio.sleep(0)
        assert batcher.waiting == 1
        late = batcher.submit(4)
        assert await asyncio.gather(stays, late) == [-2, -4]

    run(scenario)
    assert model.batches == [[2, 4]]
    assert model.began_s == [5.0], "the deadline is that of the oldest who stayed"


def test_the_deadline_moves_to_the_next_when_the_oldest_is_taken_back():
    model = Model()

    async def scenario():
        batcher = deadline(model)
        gone = batcher.submit(1)
        await asyncio.sleep(3.0)
        stays = batcher.submit(2)
        gone.cancel()
        await stays

    run(scenario)
    assert model.began_s == [8.0]


def test_when_all_have_been_taken_back_nothing_is_computed():
    model = Model()

    async def scenario():
        batcher = deadline(model)
        batcher.submit(1).cancel()
        await asyncio.sleep(20.0)
        return batcher.waiting

    assert run(scenario) == 0
    assert model.batches == []


def test_one_that_is_taken_back_while_computed_harms_nobody():
    model = Model()

    async def scenario():
        batcher = deadline(model, max_delay_s=0.0)
        gone, stays = batcher.submit(1), batcher.submit(2)
        await asyncio.sleep(0.5)
        assert batcher.running == 2
        gone.cancel()
        assert await stays == -2
        await asyncio.sleep(0)
        assert batcher.running == 0

    run(scenario)


def test_the_queue_is_bounded_and_what_is_refused_leaves_nothing():
    model = Model()

    async def scenario():
        batcher = deadline(model, max_batch_size=10, max_queue=3)
        taken = [batcher.submit(n) for n in range(3)]
        for n in range(5):
            with pytest.raises(QueueFull):
                batcher.submit(100 + n)
        return await asyncio.gather(*taken)

    assert run(scenario) == [0, -1, -2]
    assert model.batches == [[0, 1, 2]]


def test_only_the_requests_that_fail_by_themselves_get_an_error():
    model = Model(bad=frozenset({2}))
    got = run(lambda: each(deadline(model), [1, 2, 3, 4]))
    assert [got[0], got[2], got[3]] == [-1, -3, -4]
    assert isinstance(got[1], ValueError)
    assert model.batches == [[1, 2, 3, 4], [1], [2], [3], [4]]


def test_a_single_request_that_fails_is_not_tried_twice():
    model = Model(bad=frozenset({1}))
    assert isinstance(run(lambda: each(deadline(model), [1]))[0], ValueError)
    assert model.batches == [[1]]


def test_a_failed_batch_does_not_try_those_who_left_meanwhile():
    model = Model(bad=frozenset({1}))

    async def scenario():
        batcher = deadline(model, max_delay_s=0.0)
        bad, gone, good = (batcher.submit(n) for n in (1, 2, 3))
        await asyncio.sleep(0.5)
        gone.cancel()
        assert await good == -3
        assert isinstance(bad.exception(), ValueError)

    run(scenario)
    assert model.batches == [[1, 2, 3], [1], [3]]


def test_the_instance_of_a_failed_batch_serves_on():
    model = Model(bad=frozenset({1}))

    async def scenario():
        batcher = deadline(model)
        await each(batcher, [1])
        return await each(batcher, [2])

    assert run(scenario) == [-2]


def test_too_few_results_are_an_error_and_not_somebody_elses_answer():
    async def forgetful(items):
        return [-item for item in items[1:]]

    got = run(lambda: each(deadline(forgetful), [1, 2, 3, 4]))
    assert all("came back as 0 results" in str(one) for one in got)


def test_drain_answers_what_was_accepted_without_further_delay_and_takes_nothing_more():
    model = Model()

    async def scenario():
        batcher = deadline(model)
        taken = [batcher.submit(n) for n in range(6)]
        draining = asyncio.create_task(batcher.drain())
        await asyncio.sleep(0)
        with pytest.raises(Draining):
            batcher.submit(9)
        await draining
        assert [future.result() for future in taken] == [-n for n in range(6)]
        assert (batcher.waiting, batcher.running) == (0, 0)
        return now_s()

    assert run(scenario) == 2.0, "two batches, one after the other, nobody waits for a deadline"


def test_an_idle_batcher_is_drained_at_once():
    assert run(lambda: deadline(Model()).drain()) is None


def test_what_was_computed_is_told_with_its_waits():
    told: list[Batch] = []

    async def scenario():
        batcher = deadline(Model(cost_s=0.5), on_batch=told.append)
        first = batcher.submit(1)
        await asyncio.sleep(2.0)
        await asyncio.gather(first, batcher.submit(2))

    run(scenario)
    assert told == [Batch((5.0, 3.0), 0.5)]


@given(
    gaps_s=st.lists(st.sampled_from([0.0, 0.1, 0.7, 1.0, 2.5]), min_size=1, max_size=40),
    cost_s=st.sampled_from([0.05, 0.3, 1.0, 4.0]),
    delay_s=st.sampled_from([0.0, 0.2, 1.0, 3.0]),
    size=st.integers(1, 6),
    instances=st.integers(1, 3),
    bound=st.integers(1, 50),
    leaves=st.sets(st.integers(0, 39), max_size=8),
)
def test_whatever_comes_is_refused_or_answered_once_in_order_and_in_time(
    gaps_s, cost_s, delay_s, size, instances, bound, leaves
):
    model = Model(cost_s)
    arrived_s: dict[int, float] = {}
    waits: list[tuple[float, ...]] = []

    async def scenario():
        batcher = DeadlineBatcher(
            model,
            max_batch_size=size,
            max_delay_s=delay_s,
            max_queue=bound,
            instances=instances,
            on_batch=lambda batch: waits.append(batch.waited_s),
        )
        taken = {}
        for number, gap_s in enumerate(gaps_s):
            await asyncio.sleep(gap_s)
            try:
                taken[number] = batcher.submit(number)
                arrived_s[number] = now_s()
            except QueueFull:
                assert batcher.waiting == bound
            assert batcher.waiting <= bound
            if number - 1 in leaves and number - 1 in taken:
                taken[number - 1].cancel()
        await batcher.drain()
        return taken

    taken = run(scenario)
    for number, future in taken.items():
        assert future.cancelled() if future.cancelled() else future.result() == -number
    computed = [number for batch in model.batches for number in batch]
    assert len(computed) == len(set(computed))
    assert {n for n, future in taken.items() if not future.cancelled()} <= set(computed)
    assert computed == sorted(computed), "in the order of arrival"
    assert model.most_at_once <= instances
    assert sum(map(len, waits)) == len(computed)
    last_arrival_s = sum(gaps_s)
    for batch, began_s in zip(model.batches, model.began_s, strict=True):
        assert len(batch) <= size
        due_s = arrived_s[batch[0]] + delay_s
        if began_s > due_s + EPS_S:
            # Late only while every instance was busy: it begins when one of them ends.
            assert any(abs(ended_s - began_s) < EPS_S for ended_s in model.ended_s)
        elif began_s < due_s - EPS_S:
            assert len(batch) == size or began_s >= last_arrival_s - EPS_S


def polling(model: Model, **given_) -> PollingBatcher:
    return PollingBatcher(model, **{"max_batch_size": 4, "interval_s": 5.0} | given_)


def test_polling_lets_a_full_batch_wait_for_the_tick_and_the_next_one_for_another():
    model = Model()

    async def scenario():
        return await each(polling(model), range(8))

    assert run(scenario) == [-n for n in range(8)]
    assert model.began_s == [5.0, 11.0]


def test_polling_fails_everybody_with_the_one_that_fails():
    async def scenario():
        return await each(polling(Model(bad=frozenset({2}))), [1, 2, 3])

    got = run(scenario)
    assert all(isinstance(one, ValueError) for one in got)


def test_polling_has_no_bound_and_computes_for_those_who_left():
    model = Model()

    async def scenario():
        batcher = polling(model, max_batch_size=10_000)
        waiting = [batcher.submit(n) for n in range(10_000)]
        waiting[0].cancel()
        assert batcher.waiting == 10_000
        await waiting[-1]

    run(scenario)
    assert len(model.batches[0]) == 10_000
