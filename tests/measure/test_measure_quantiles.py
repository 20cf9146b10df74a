import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from measure.quantiles import (
    LEVELS,
    carried,
    describe,
    interval_ranks,
    quantile,
    rank,
    stretched_ranks,
)

VALUES = st.lists(
    st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=300
)
LEVEL = st.sampled_from([*LEVELS.values(), 0.07, 0.29, 1.0])


@given(VALUES, LEVEL)
def test_a_quantile_is_the_smallest_value_that_enough_values_do_not_exceed(values, level):
    found = quantile(values, level)
    assert found in values
    share = Fraction(str(level))
    assert sum(value <= found for value in values) >= share * len(values)
    assert all(
        sum(value <= other for value in values) < share * len(values)
        for other in values
        if other < found
    )


@given(VALUES, LEVEL)
def test_quantiles_ignore_order_and_nan(values, level):
    assert quantile([math.nan, *reversed(values), math.nan], level) == quantile(values, level)


def test_ranks_are_exact_where_floating_point_is_not():
    assert math.ceil(0.07 * 100) == 8
    assert rank(100, 0.07) == 7
    assert rank(1000, 0.999) == 999


def test_a_rank_outside_the_sample_is_refused():
    for count, level in ((0, 0.5), (10, 0.0), (10, 1.1)):
        with pytest.raises(ValueError, match="no quantile"):
            rank(count, level)


def test_an_empty_sample_describes_as_nothing():
    for values in ([], [math.nan, math.nan]):
        found = describe(values)
        assert found["count"] == 0
        assert all(found[name] is None for name in ("mean", "max", *LEVELS))
        assert set(found["ci95"].values()) == {None}
    assert math.isnan(quantile([], 0.5))


def test_one_value_has_a_median_and_no_tail():
    found = describe([0.25, math.nan])
    assert (found["count"], found["mean"], found["p50"], found["max"]) == (1, 0.25, 0.25, 0.25)
    assert found["p99"] is None and found["ci95"]["p50"] is None


@pytest.mark.parametrize(("level", "needed"), [(0.9, 10), (0.95, 20), (0.99, 100), (0.999, 1000)])
def test_a_tail_is_absent_until_something_can_lie_beyond_it(level, needed):
    assert not carried(needed - 1, level)
    assert carried(needed, level)


@pytest.mark.parametrize(
    ("level", "needed"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368), (0.999, 3688)]
)
def test_an_interval_is_absent_until_the_sample_reaches_both_sides(level, needed):
    assert interval_ranks(needed - 1, level) is None
    assert interval_ranks(needed, level) is not None


def test_interval_ranks_agree_with_published_ones():
    # Conover, Practical Nonparametric Statistics: 95% interval of the median, n = 20: ranks 6, 15.
    assert interval_ranks(20, 0.5) == (6, 15)
    assert interval_ranks(100, 0.5) == (40, 61)


@given(st.integers(1, 20_000), st.sampled_from(list(LEVELS.values())))
def test_interval_ranks_cover_at_least_as_often_as_promised(count, level):
    from scipy.stats import binom

    ranks = interval_ranks(count, level)
    if ranks is None:
        return
    low, high = ranks
    assert 1 <= low <= rank(count, level) <= high <= count
    assert binom.cdf(low - 1, count, level) <= 0.025 + 1e-9
    assert binom.sf(high - 1, count, level) <= 0.025 + 1e-9


@given(VALUES)
def test_a_description_is_ordered_and_its_intervals_hold_the_quantiles(values):
    found = describe(values)
    known = [found[name] for name in LEVELS if found[name] is not None] + [found["max"]]
    assert known == sorted(known)
    assert found["max"] == max(values) and found["count"] == len(values)
    for name, pair in found["ci95"].items():
        assert pair is None or pair[0] <= found[name] <= pair[1]


@pytest.mark.parametrize(("name", "count"), [("p50", 60), ("p90", 200), ("p99", 1000)])
def test_intervals_cover_the_true_quantile_of_a_heavy_tail(name, count):
    rng = np.random.default_rng(20261122)
    truth = float(np.exp(1.5 * _normal_quantile(LEVELS[name])))
    hits = 0
    for _ in range(600):
        low, high = describe(rng.lognormal(0.0, 1.5, count))["ci95"][name]
        hits += low <= truth <= high
    assert hits / 600 >= 0.94


@given(st.integers(1, 20_000), st.data(), st.sampled_from(list(LEVELS.values())))
def test_stretched_ranks_lie_in_the_sample_around_its_quantile(count, data, level):
    ranks = stretched_ranks(count, data.draw(st.integers(1, count)), level)
    assert ranks is None or 1 <= ranks[0] <= rank(count, level) <= ranks[1] <= count
    assert stretched_ranks(count, count, level) == interval_ranks(count, level)


def _normal_quantile(level):
    from scipy.special import ndtri

    return float(ndtri(level))
