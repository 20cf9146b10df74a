"""Arrival processes against what was asked of them.

Counts of a Poisson process over a stretch are Poisson with the mean Λ of that stretch: the bounds
are four standard deviations, and the seeds are fixed.
"""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from loadtests import arrivals
from loadtests.share import Share

SIGMAS = 4


def until(times, end_s):
    return np.array(list(itertools.takewhile(lambda at_s: at_s < end_s, times)))


def all_kinds(seed):
    """One of each, at rates between 5 and 80 a second over 100 seconds."""
    return {
        "constant": arrivals.constant(20.0),
        "poisson": arrivals.poisson(20.0, seed),
        "gamma": arrivals.gamma(20.0, 0.3, seed),
        "ramp": arrivals.ramp(5.0, 40.0, 100.0, seed),
        "steps": arrivals.steps((10.0, 0.0, 40.0), 20.0, seed),
        "spike": arrivals.spike(10.0, 80.0, 30.0, 10.0, seed),
        "diurnal": arrivals.diurnal(0.0, 40.0, 40.0, seed),
        "replay": arrivals.replay([0.5 * n for n in range(400)], 2.0),
    }


KINDS = tuple(all_kinds(0))
DRAWN = tuple(kind for kind in KINDS if kind not in ("constant", "replay"))


def test_constant_arrivals_do_not_drift():
    times_s = list(itertools.islice(arrivals.constant(3.0), 30_001))
    assert times_s[0] == 0
    assert times_s[-1] == pytest.approx(10_000.0, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_times_rise_and_begin_at_0_or_later(kind):
    times_s = list(itertools.islice(all_kinds(3)[kind], 2_000))
    assert times_s[0] >= 0
    assert all(a < b for a, b in itertools.pairwise(times_s))


@given(burstiness=st.floats(1e-3, 50), rate_rps=st.floats(1e-3, 1e6), seed=st.integers(0, 2**32))
@settings(max_examples=50)
def test_times_rise_however_bursty_the_process(burstiness, rate_rps, seed):
    times_s = list(itertools.islice(arrivals.gamma(rate_rps, burstiness, seed), 200))
    assert all(0 < a < b < math.inf for a, b in itertools.pairwise(times_s))


@pytest.mark.parametrize("kind", DRAWN)
def test_arrivals_repeat_under_a_seed_and_differ_under_another(kind):
    first, again, other = (list(itertools.islice(all_kinds(s)[kind], 50)) for s in (7, 7, 8))
    assert first == again
    assert first != other


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_the_workers_shares_together_are_the_schedule_of_one_process(kind, workers):
    whole = list(itertools.islice(all_kinds(5)[kind], 300))
    shares = []
    for worker in range(workers):
        share = Share(worker, workers)
        mine = share.of(all_kinds(5)[kind])
        # In the order of its numbers, each worker has the arrivals that bear them.
        shares += zip(share.numbers(), itertools.islice(mine, 300), strict=False)
    assert [at_s for _, at_s in sorted(shares)][: len(whole)] == whole
    assert [number for number, _ in sorted(shares)][: len(whole)] == list(range(len(whole)))


@pytest.mark.parametrize("burstiness", [0.25, 0.5, 1.0, 4.0])
def test_gamma_gaps_have_the_rate_and_the_variation_asked_for(burstiness):
    times_s = np.array(list(itertools.islice(arrivals.gamma(50.0, burstiness, 1), 40_000)))
    gaps_s = np.diff(times_s, prepend=0.0)
    variation = gaps_s.std() / gaps_s.mean()
    assert gaps_s.mean() == pytest.approx(
        0.02, abs=SIGMAS * 0.02 / math.sqrt(burstiness * gaps_s.size)
    )
    assert variation == pytest.approx(1 / math.sqrt(burstiness), rel=0.05)
    # The whole distribution, not two of its numbers.
    fits = stats.kstest(gaps_s, stats.gamma(burstiness, scale=0.02 / burstiness).cdf)
    assert fits.pvalue > 0.001


def test_burstiness_1_is_a_poisson_process():
    gaps_s = np.diff(list(itertools.islice(arrivals.gamma(50.0, 1.0, 4), 20_000)))
    assert stats.kstest(gaps_s, stats.expon(scale=0.02).cdf).pvalue > 0.001
    gaps_s = np.diff(list(itertools.islice(arrivals.poisson(50.0, 4), 20_000)))
    assert stats.kstest(gaps_s, stats.expon(scale=0.02).cdf).pvalue > 0.001


def ramp_mass(at_s):
    return 5 * at_s + 35 * at_s**2 / 200


def steps_mass(at_s):
    return 10 * np.minimum(at_s, 20) + 40 * np.maximum(at_s - 40, 0)


def spike_mass(at_s):
    return 10 * at_s + 70 * np.clip(at_s - 30, 0, 10)


def diurnal_mass(at_s):
    return 20 * at_s - 20 * 40 / (2 * math.pi) * np.sin(2 * math.pi * at_s / 40)


MASS = {
    "ramp": ramp_mass, "steps": steps_mass, "spike": spike_mass, "diurnal": diurnal_mass,
    "poisson": lambda at_s: 20 * at_s,
}  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("kind", MASS)
def test_the_counts_of_every_stretch_are_those_of_the_intensity(kind, seed):
    times_s = until(all_kinds(seed)[kind], 100.0)
    edges = np.linspace(0, 100, 21)
    expected = np.diff(MASS[kind](edges))
    counts, _ = np.histogram(times_s, edges)
    assert (np.abs(counts - expected) <= SIGMAS * np.sqrt(expected) + 1e-9).all()
    assert times_s.size == pytest.approx(expected.sum(), abs=SIGMAS * math.sqrt(expected.sum()))


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("kind", MASS)
def test_on_the_clock_of_its_own_intensity_each_is_a_poisson_process_of_rate_1(kind, seed):
    """The time change undone: Λ of the arrivals has independent exponential gaps of mean 1."""
    gaps = np.diff(MASS[kind](until(all_kinds(seed)[kind], 100.0)), prepend=0.0)
    assert stats.kstest(gaps, stats.expon.cdf).pvalue > 0.001
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < SIGMAS / math.sqrt(gaps.size)


RATES = st.just(0.0) | st.floats(1e-6, 1e6)


@given(
    from_rps=RATES, to_rps=RATES, length_s=st.floats(0.1, 1e5),
    share=st.floats(0, 1),
)  # fmt: skip
def test_when_is_the_inverse_of_the_arrivals_expected_so_far(from_rps, to_rps, length_s, share):
    piece = arrivals.Piece(length_s, from_rps, to_rps)
    wanted = piece.arrivals * share
    at_s = piece.when(wanted)
    assert 0 <= at_s <= length_s
    rate_there = from_rps + (to_rps - from_rps) * at_s / length_s
    so_far = (from_rps + rate_there) / 2 * at_s
    assert so_far == pytest.approx(wanted, rel=1e-6, abs=1e-6 * max(1.0, piece.arrivals))


def test_a_rate_that_falls_to_nothing_ends_the_schedule():
    times_s = list(arrivals.ramp(50.0, 0.0, 10.0, 1))
    assert times_s[-1] <= 10.0
    assert len(times_s) == pytest.approx(250, abs=SIGMAS * math.sqrt(250))


def test_a_replay_is_as_fast_as_asked_and_ends():
    assert list(arrivals.replay([0.0, 1.0, 1.0, 3.0], 2.0)) == [0.0, 0.5, 0.5, 1.5]
