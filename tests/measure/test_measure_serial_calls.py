import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from measure import serial_calls
from measure.quantiles import quantile

VALUES = st.lists(st.floats(0.001, 100.0), min_size=1, max_size=6).map(
    lambda values: np.sort(np.array(values))
)


def _brute_sum(values: np.ndarray, level: float, calls: int) -> float:
    every = [math.fsum(one) for one in itertools.product(values.tolist(), repeat=calls)]
    return quantile(every, level)


@given(VALUES, st.sampled_from([0.5, 0.77, 0.9, 0.99]), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_the_sum_lies_within_its_stated_error_of_every_possible_sum(values, level, calls):
    found = serial_calls.sums(values, [level], calls, grid=1 << 14)[0]
    every = np.sort([math.fsum(one) for one in itertools.product(values.tolist(), repeat=calls)])
    # At a step of the distribution the transform's rounding may choose either side of it.
    low = quantile(every, max(level - 1e-9, 1e-9))
    high = quantile(every, min(level + 1e-9, 1.0))
    slack = 1e-9 * high
    assert low - found.error - slack <= found.value <= high + found.error + slack


def test_the_sum_of_one_call_is_the_call():
    values = np.sort(np.random.default_rng(1).lognormal(0, 1, 5_000))
    found = serial_calls.sums(values, [0.5, 0.99], 1)
    for one, level in zip(found, (0.5, 0.99), strict=True):
        assert abs(one.value - quantile(values, level)) <= one.error


def test_sums_of_many_calls_approach_the_normal_distribution():
    values = np.sort(np.random.default_rng(2).exponential(1.0, 20_000))
    half, most = serial_calls.sums(values, [0.5, 0.975], 400)
    assert half.value == pytest.approx(400 * values.mean(), rel=0.01)
    assert most.value - half.value == pytest.approx(1.96 * values.std() * 20, rel=0.06)
    assert half.error < 0.01 * half.value


def test_equal_values_add_up_without_error():
    assert serial_calls.sums(np.full(7, 0.25), [0.5, 0.99], 8) == [serial_calls.Sum(2.0, 0.0)] * 2


@given(VALUES, st.sampled_from([0.3, 0.5, 0.9]), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_the_slowest_is_the_quantile_of_every_possible_slowest(values, level, calls):
    found = serial_calls.slowest(values, level, calls)
    every = [max(one) for one in itertools.product(values.tolist(), repeat=calls)]
    shares = [sum(one <= value for one in every) / len(every) for value in values]
    if found is not None:
        # On an edge of the distribution the root may be rounded to either side.
        near = {
            float(value)
            for value, share, before in zip(values, shares, [0.0, *shares], strict=False)
            if before - 1e-9 <= level <= share + 1e-9
        }
        assert found in near


def test_the_slowest_of_one_is_the_quantile_and_of_many_needs_a_large_sample():
    values = np.arange(1, 1001, dtype=np.float64)
    assert serial_calls.slowest(values, 0.99, 1) == quantile(values, 0.99)
    assert serial_calls.slowest(values, 0.5, 100) == 994
    assert serial_calls.slowest(values, 0.99, 100) is None


@given(st.floats(0, 1), st.integers(1, 500))
def test_more_calls_are_slow_more_often(share, calls):
    once, often = serial_calls.any_of(share, 1), serial_calls.any_of(share, calls)
    assert once == pytest.approx(share)
    assert once - 1e-12 <= often <= 1


def test_consecutive_calls_that_are_slow_together_spoil_fewer_pages():
    slow = np.zeros(1_000, dtype=bool)
    slow[500:520] = True
    assert serial_calls.consecutive_share(slow, 20) == pytest.approx(1 / 50)
    assert serial_calls.any_of(0.02, 20) > 0.3
    assert math.isnan(serial_calls.consecutive_share(slow, 51))
