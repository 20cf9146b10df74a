"""Which of two runs is slower: exact against all pairs, and what its interval covers."""

from itertools import product
from math import erf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from measure.distribution import Distribution, distribution
from measure.effect import FEWEST, larger

LATENCIES = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=30)


def independent(values):
    """The values, each worth one."""
    return Distribution(np.sort(values), {0.5: len(values)})


@given(LATENCIES, LATENCIES)
def test_it_is_the_share_of_all_pairs_equal_ones_counting_half(first, second):
    found = larger(independent(first), independent(second))
    pairs = [(b > a) + (b == a) / 2 for a, b in product(first, second)]
    assert found.probability == pytest.approx(np.mean(pairs))
    assert found.delta == pytest.approx(
        np.mean([np.sign(b - a) for a, b in product(first, second)]), abs=1e-12
    )


@given(LATENCIES, LATENCIES)
def test_turned_round_it_is_what_is_left_and_so_is_its_interval(first, second):
    one = larger(independent(first), independent(second))
    other = larger(independent(second), independent(first))
    assert one.probability == pytest.approx(1 - other.probability)
    assert (one.ci95 is None) == (min(len(first), len(second)) < FEWEST)
    if one.ci95:
        assert one.ci95 == pytest.approx((1 - other.ci95[1], 1 - other.ci95[0]))
        low, high = one.ci95
        assert 0 <= low <= one.probability + 1e-12 and one.probability - 1e-12 <= high <= 1


@given(LATENCIES)
def test_a_run_is_not_told_apart_from_itself(values):
    found = larger(independent(values), independent(values))
    assert found.probability == pytest.approx(0.5)
    assert not found.apart


@pytest.mark.parametrize(("counts", "shift", "spread"), [
    ((30, 30), 0.0, 1.0), ((200, 50), 1.0, 5.0), ((15, 40), 2.0, 1.0), ((100, 100), 3.0, 1.0),
])  # fmt: skip
def test_the_interval_covers_the_truth_as_promised(counts, shift, spread):
    rng = np.random.default_rng(7)
    truth = 0.5 * (1 + erf(shift / np.sqrt(1 + spread**2) / np.sqrt(2)))
    times, held = 500, 0
    for _ in range(times):
        found = larger(
            independent(rng.normal(0, 1, counts[0])),
            independent(rng.normal(shift, spread, counts[1])),
        )
        held += found.ci95[0] <= truth <= found.ci95[1]
    assert held / times > 0.93


def test_two_runs_of_convoys_are_not_told_apart_by_the_convoys():
    rng = np.random.default_rng(8)
    times, false = 300, 0
    for _ in range(times):
        pair = [distribution(np.repeat(rng.exponential(size=40), 8)) for _ in range(2)]
        false += bool(larger(*pair).apart)
    assert false / times < 0.06


def test_runs_without_overlap_are_as_sure_as_their_pairs():
    found = larger(independent(np.arange(20.0)), independent(np.arange(100.0, 200.0)))
    assert found.probability == 1 and found.delta == 1 and found.apart
    assert found.ci95 == (pytest.approx(0.025 ** (1 / 20)), 1.0)


def test_nothing_is_compared_with_nothing_and_too_little_gives_no_interval():
    empty, few = distribution(np.empty(0)), distribution(np.arange(5.0))
    assert larger(empty, few) is None and larger(few, empty) is None
    found = larger(few, few)
    assert found.ci95 is None and found.apart is None
