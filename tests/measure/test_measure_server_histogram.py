import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from measure.errors import MeasureError
from measure.quantiles import quantile
from measure.server_histogram import Bounds, quantile_bounds

EDGES = [0.01, 0.1, 0.5, 2.0, math.inf]
BUCKETS = dict(zip(EDGES, [0, 10, 90, 99, 100], strict=True))


@pytest.mark.parametrize(
    ("level", "bounds"),
    [
        (0.05, (0.01, 0.1)),
        (0.1, (0.01, 0.1)),
        (0.5, (0.1, 0.5)),
        (0.99, (0.5, 2.0)),
        (0.999, (2.0, math.inf)),
    ],
)
def test_a_quantile_is_given_as_the_bucket_it_is_in(level, bounds):
    assert quantile_bounds(BUCKETS, level) == Bounds(*bounds)


def test_what_lies_under_the_first_edge_or_over_the_last_says_so():
    first = quantile_bounds({0.3: 100, math.inf: 100}, 0.5)
    assert first.below_resolution and str(first) == "at most 0.3 (below bucket resolution)"
    last = quantile_bounds({0.3: 0, math.inf: 100}, 0.5)
    assert last.above_range and str(last) == "above 0.3 (beyond the last bucket)"
    assert str(Bounds(0.3, 0.5)) == "0.3 to 0.5"


@given(
    st.lists(st.floats(0, 10), min_size=1, max_size=200),
    st.sampled_from([0.07, 0.5, 0.9, 0.99, 0.999]),
)
def test_the_exact_quantile_lies_within_the_bounds(values, level):
    buckets = {edge: float(np.sum(np.array(values) <= edge)) for edge in EDGES}
    bounds = quantile_bounds(buckets, level)
    exact = quantile(values, level)
    assert exact <= bounds.upper and (exact > bounds.lower or bounds.below_resolution)


@given(
    st.dictionaries(st.floats(0, 100), st.floats(0, 1e6), max_size=8),
    st.floats(0, 1e6),
    st.floats(0.001, 1.0),
)
def test_counts_torn_between_scrapes_still_give_a_bucket(buckets, total, level):
    bounds = quantile_bounds({**buckets, math.inf: total}, level)
    assert bounds is None or 0 <= bounds.lower <= bounds.upper


def test_nothing_counted_has_no_quantile():
    assert quantile_bounds({0.1: 0, math.inf: 0}, 0.5) is None


@pytest.mark.parametrize(
    "buckets", [{}, {0.1: 5}, {math.nan: 1, math.inf: 2}, {0.1: math.nan, math.inf: 2}]
)
def test_what_is_no_histogram_is_refused(buckets):
    with pytest.raises(MeasureError):
        quantile_bounds(buckets, 0.5)


def test_a_level_that_is_none_is_refused():
    with pytest.raises(ValueError, match="level"):
        quantile_bounds(BUCKETS, 0.0)
