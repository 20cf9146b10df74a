"""Simulations with fixed seeds: what the effective count is, and what intervals on it cover."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from measure.compare import ratio_interval
from measure.dependence import MAX_LAGS, effective_count, inflation
from measure.distribution import distribution
from measure.quantiles import LEVELS, describe, interval_ranks, quantile, rank

CONVOY = 8


def independent(rng, count):
    return rng.exponential(size=count)


def convoys(rng, count):
    """Eight users in step: each eight requests share one latency."""
    return np.repeat(rng.exponential(size=count // CONVOY), CONVOY)


def convoys_with_an_order(rng, count):
    """As measured of real engines: nearly equal, and the last one sent has waited least."""
    place = np.tile(np.linspace(0.06, 0.0, CONVOY), count // CONVOY)
    return 0.3 + 0.3 * convoys(rng, count) + place


def autoregressive(rng, count):
    """Log-normal of an AR(1) process of coefficient 0.8."""
    steps = rng.normal(size=count + 200)
    for i in range(1, steps.size):
        steps[i] = 0.8 * steps[i - 1] + 0.6 * steps[i]
    return np.exp(steps[200:])


def coverage(make, count, level, times, seed):
    """Shares of honest and plain intervals that hold the true quantile; share that exist."""
    rng = np.random.default_rng(seed)
    truth = quantile(make(rng, 400_000), level)
    name = next(name for name, one in LEVELS.items() if one == level)
    honest, plain = [], 0
    for _ in range(times):
        values = make(rng, count)
        pair = describe(values)["ci95"][name]
        if pair is not None:
            honest.append(pair[0] <= truth <= pair[1])
        low, high = (np.sort(values)[edge - 1] for edge in interval_ranks(count, level))
        plain += low <= truth <= high
    return np.mean(honest), plain / times, len(honest) / times


@pytest.mark.parametrize(
    ("count", "level"), [(60, 0.5), (184, 0.5), (184, 0.9), (800, 0.9), (1000, 0.99)]
)
def test_independent_values_keep_their_intervals(count, level):
    honest, plain, exist = coverage(independent, count, level, 400, seed=1)
    assert honest >= 0.93 and honest - plain < 0.05
    assert exist > 0.97


@pytest.mark.parametrize("count", [184, 2000, 20_000])
def test_independent_values_are_worth_nearly_their_count(count):
    rng = np.random.default_rng(2)
    found = [describe(independent(rng, count))["effective_count"] for _ in range(200)]
    assert np.median(found) > 0.88 * count
    assert max(found) <= count


@pytest.mark.parametrize("make", [convoys, convoys_with_an_order, autoregressive])
@pytest.mark.parametrize(("count", "level"), [(184, 0.5), (800, 0.5), (800, 0.9), (1600, 0.95)])
def test_values_in_step_have_intervals_that_cover_where_plain_ones_do_not(make, count, level):
    honest, plain, exist = coverage(make, count, level, 300, seed=3)
    assert honest >= 0.90
    assert plain < 0.7
    assert exist > 0.9


@pytest.mark.parametrize("count", [184, 800, 8000])
def test_convoys_of_eight_are_worth_an_eighth(count):
    rng = np.random.default_rng(4)
    found = [describe(convoys(rng, count))["effective_count"] for _ in range(200)]
    assert 0.75 * count / CONVOY < np.median(found) < 1.2 * count / CONVOY


def test_the_autocorrelation_of_an_autoregressive_series_adds_up_to_what_is_known():
    rng = np.random.default_rng(5)
    series = np.log(autoregressive(rng, 200_000))
    assert inflation(series) == pytest.approx((1 + 0.8) / (1 - 0.8), rel=0.1)


def test_two_runs_of_one_engine_in_step_are_not_told_apart():
    rng = np.random.default_rng(6)
    false, unknown, times = 0, 0, 400
    for _ in range(times):
        pair = ratio_interval(*(distribution(convoys(rng, 184)) for _ in range(2)), 0.5)
        unknown += pair is None
        false += pair is not None and not pair[0] <= 1 <= pair[1]
    assert false / times < 0.03
    assert unknown / times < 0.1


def test_gaps_of_one_request_and_of_requests_in_step_are_both_allowed_for():
    """The speed is the convoy's: 20 gaps each of 800 requests in 100 convoys."""
    rng = np.random.default_rng(7)
    owner = np.repeat(np.arange(800), 20)
    alone, together = [], []
    for _ in range(20):
        noise = rng.normal(0, 0.3, owner.size)
        alone.append(np.repeat(rng.normal(size=800), 20) + noise)
        together.append(np.repeat(rng.normal(size=800 // CONVOY), 20 * CONVOY) + noise)
    worth = [
        np.median([effective_count(one, quantile(one, 0.5), owner) for one in samples])
        for samples in (alone, together)
    ]
    assert 700 < worth[0] < 1500
    assert worth[0] / 12 < worth[1] < worth[0] / 5


def test_intervals_of_gaps_cover_though_those_of_one_request_resemble_each_other():
    """Taken as independent they promise far too much."""
    rng = np.random.default_rng(7)
    truth = float(np.exp(np.sqrt(1.0 + 0.25) * 1.2815515655446004))
    owner = np.repeat(np.arange(200), 20)
    honest = naive = 0
    for _ in range(300):
        values = np.exp(np.repeat(rng.normal(0, 1.0, 200), 20) + rng.normal(0, 0.5, 4000))
        low, high = describe(values, owner)["ci95"]["p90"]
        honest += low <= truth <= high
        low, high = (np.sort(values)[edge - 1] for edge in interval_ranks(4000, 0.9))
        naive += low <= truth <= high
    assert honest / 300 >= 0.92
    assert naive / 300 < 0.7


def test_gaps_of_few_requests_say_nothing_of_their_spread():
    values = np.random.default_rng(3).exponential(size=5000)
    value = quantile(values, 0.9)
    assert effective_count(values, value, np.arange(5000)) > 4500
    assert effective_count(values, value, np.arange(5000) // 50) > 2500
    assert effective_count(values, value, np.arange(5000) // 500) is None
    found = describe(values, np.arange(5000) // 500)
    assert found["ci95"]["p90"] is None and found["effective_count"] is None


@pytest.mark.parametrize("count", [1, 6, 500])
def test_equal_values_have_themselves_as_their_interval(count):
    found = describe(np.full(count, 0.25))
    assert found["effective_count"] == count
    assert found["ci95"]["p50"] == ([0.25, 0.25] if count >= 6 else None)


def test_a_tied_maximum_still_tells_how_the_values_cluster():
    values = np.repeat(np.random.default_rng(8).permutation(np.arange(125.0)), CONVOY)
    value = quantile(values, 0.999)
    assert value == values.max()
    assert effective_count(values, value) < 250


def test_a_run_that_only_grows_slower_has_no_narrow_interval():
    found = describe(np.linspace(0.1, 9.0, 400))
    assert found["effective_count"] < 10


@given(
    st.lists(st.sampled_from([0.0, 0.1, 0.2, 5.0]), min_size=1, max_size=200),
    st.sampled_from(list(LEVELS.values())),
)
def test_an_effective_count_is_from_one_to_the_count(values, level):
    array = np.array(values)
    value = np.sort(array)[rank(array.size, level) - 1]
    assert 1 <= effective_count(array, float(value)) <= array.size


def test_a_million_values_in_step_are_described_by_a_bounded_number_of_lags():
    rng = np.random.default_rng(9)
    found = describe(convoys(rng, 1_000_000))
    assert found["effective_count"] == pytest.approx(125_000, rel=0.1)
    slow = np.repeat(rng.exponential(size=100), 10_000)
    assert describe(slow)["effective_count"] >= 1_000_000 // (2 * MAX_LAGS + 1)
