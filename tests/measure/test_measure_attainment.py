import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from measure import attainment, shares
from measure.attainment import Attainment, breaks_between
from measure.records import Status
from measure.slo import Slo
from measure.summary import summarise
from measure.window import Window

SLO = Slo(ttft_s=0.5, itl_s=0.2)
WHOLE = Window(0.0, 10.0)


@pytest.fixture(scope="module")
def mixed(table, make_record):
    return table(
        make_record(0.0, (0.1, 0.2)),
        make_record(1.0, (0.6, 0.7)),
        make_record(2.0, (0.1, 0.9)),
        make_record(3.0, (0.7, 1.5)),
        make_record(4.0, (0.1,), tokens=1),
        make_record(5.0, (), status=Status.HTTP_ERROR),
        make_record(6.0, (0.1, 0.2), status=Status.CANCELLED),
        make_record(7.0, (0.1, 0.2), scheduled=6.0),
    )


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_of_a_share_is_clopper_and_pearsons(counts):
    good, count = counts
    expected = binomtest(good, count).proportion_ci(0.95, method="exact")
    assert shares.interval(good / count, count) == pytest.approx(
        (expected.low, expected.high), abs=1e-9
    )


def test_nothing_is_known_from_no_request():
    assert shares.interval(0.0, 0) == (0.0, 1.0)
    assert Attainment(0, 0, 0.0, None, {}, {}).share is None


def test_requests_that_fail_together_are_worth_fewer():
    steady = np.tile([True, False], 200)
    blocks = np.repeat(np.tile([True, False], 5), 40)
    assert shares.effective_count(steady) == 400
    assert shares.effective_count(blocks) < 40
    assert shares.effective_count(np.ones(50, dtype=bool)) == 50


def test_each_missed_request_is_counted_once_by_what_it_missed(mixed):
    found = attainment.attainment(mixed, SLO, WHOLE, open_loop=False)
    assert (found.good, found.finished) == (2, 7)
    assert found.missed == {("failed",): 1, ("ttft",): 1, ("itl",): 2, ("ttft", "itl"): 1}
    assert found.undefined == {"itl": 1}
    assert found.good + sum(found.missed.values()) == found.finished
    assert found.goodput_rps == pytest.approx(0.2)


def test_an_open_loop_counts_from_the_schedule(mixed):
    found = attainment.attainment(mixed, SLO, WHOLE, open_loop=True)
    assert found.good == 1
    assert found.missed[("ttft",)] == 2


@pytest.mark.parametrize("kind", ["closed", "poisson"])
def test_the_numbers_are_those_of_the_summary(make_manifest, mixed, kind):
    manifest = make_manifest(kind, slo=SLO, warmup_s=0.5)
    summary = summarise(mixed, manifest, None)
    span = Window(summary["window"]["start_s"], summary["window"]["end_s"])
    counted = mixed.slice(1)
    found = attainment.attainment(
        attainment.needed(counted), Slo.from_dict(manifest["slo"]), span, open_loop=kind != "closed"
    )
    assert found.share == summary["slo_attainment"]
    assert found.goodput_rps == summary["goodput_rps"]


def test_nothing_finished_says_nothing(mixed):
    found = attainment.attainment(mixed.slice(6, 1), SLO, WHOLE, open_loop=False)
    assert (found.share, found.interval) == (None, (0.0, 1.0))
    burn = attainment.burn(mixed.slice(6, 1), SLO, 0.9, WHOLE, open_loop=False, width_s=1.0)
    assert np.isnan(burn.rate).all()
    assert np.isnan(burn.used).all()


def test_the_budget_is_used_by_bad_requests_alone(table, make_record):
    records = table(*(make_record(i / 10, (0.1,) if i < 50 else (0.9,)) for i in range(100)))
    burn = attainment.burn(records, Slo(ttft_s=0.5), 0.9, WHOLE, open_loop=False, width_s=2.0)
    before, after = burn.time_s < 5.0, burn.time_s > 7.0
    assert (burn.used[before] == 0).all()
    assert (burn.rate[before] == 0).all()
    assert burn.rate[after] == pytest.approx(10.0)
    assert burn.used[-1] == pytest.approx(5.0)


@given(
    st.lists(st.booleans(), min_size=1, max_size=60),
    st.sampled_from([0.5, 0.9, 0.99]),
)
def test_over_the_whole_window_the_rate_is_the_budget_used(table, make_record, good, objective):
    records = table(*(make_record(i / 10, (0.1 if well else 0.9,)) for i, well in enumerate(good)))
    burn = attainment.burn(
        records, Slo(ttft_s=0.5), objective, WHOLE, open_loop=False, width_s=10.0
    )
    assert burn.rate[-1] == pytest.approx(burn.used[-1])
    assert burn.rate[-1] == pytest.approx(good.count(False) / len(good) / (1 - objective))
    assert (np.diff(burn.used) >= 0).all()


@pytest.mark.parametrize("objective", [0.0, 1.0, 1.5])
def test_an_objective_without_a_budget_is_refused(mixed, objective):
    with pytest.raises(ValueError, match="no error budget"):
        attainment.burn(mixed, SLO, objective, WHOLE, open_loop=False, width_s=1.0)


def _at(good: int, finished: int) -> Attainment:
    return Attainment(good, finished, float(finished), 1.0, {}, {})


def test_an_engine_breaks_between_two_loads_that_were_measured():
    points = [(1.0, _at(500, 500)), (4.0, _at(500, 500)), (8.0, _at(470, 500)), (16.0, _at(9, 500))]
    assert breaks_between(points, 0.99) == (4.0, 8.0)
    assert breaks_between(points[:2], 0.99) == (4.0, None)
    assert breaks_between(points[2:], 0.99) == (None, 8.0)


def test_what_is_not_told_apart_settles_nothing():
    points = [(1.0, _at(500, 500)), (2.0, _at(495, 500)), (4.0, _at(100, 500))]
    assert breaks_between(points, 0.99) == (1.0, 4.0)
    assert breaks_between([(1.0, _at(20, 20))], 0.99) == (None, None)


def test_a_load_that_holds_above_one_that_does_not_is_no_proof():
    points = [(1.0, _at(500, 500)), (2.0, _at(100, 500)), (4.0, _at(500, 500))]
    assert breaks_between(points, 0.99) == (1.0, 2.0)


def test_runs_of_one_load_are_added_up():
    both = attainment.together([_at(10, 10), _at(0, 30)])
    assert both.share == pytest.approx(0.25)
    assert math.isclose(both.effective, 40)
