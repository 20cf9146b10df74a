"""What a tail becomes when one answer needs several calls, one after the other.

A page that makes n calls is slow if any of them is: a call that is slow once in a hundred makes
more than half of the pages of 70 calls slow (Jeffrey Dean and Luiz André Barroso, "The Tail at
Scale", Communications of the ACM 56(2), 2013). Here the calls are drawn from the values of a run,
each independently of the others; calls that follow each other in a busy server are not, so what the
run itself shows of consecutive calls stands beside it (`amplification`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from measure.quantiles import Floats, carried, quantile, rank

FEWEST_PAGES = 20
"""Fewer pages of consecutive calls than this say nothing of a share."""

_SEED = 2013
_GRID = 1 << 20


@dataclass(frozen=True)
class Amplification:
    """How many pages of `calls` serial calls hold at least one slow call; slow is above `limit_s`.

    Shares, one for each number of calls: `in_order` of the calls as they followed each other in
    the run (NaN where it is too short for 20 such pages; `pages` says how many it holds),
    `resampled` of calls drawn from the run at random, `independent` what
    1 − (1 − share of slow calls)^calls says.
    """

    limit_s: float
    slow_share: float
    calls: tuple[int, ...]
    pages: tuple[int, ...]
    in_order: Floats
    resampled: Floats
    independent: Floats


@dataclass(frozen=True)
class Sum:
    """A quantile of the sum of n calls: it lies within `value` ± `error`, both in the values' unit.

    The error is that of the grid the values are rounded to, not of the sample.
    """

    value: float
    error: float


def amplification(
    values_s: Floats, calls: Sequence[int], *, level: float = 0.99, pages: int = 20_000
) -> Amplification:
    """The chance that a page of several serial calls meets at least one slow one.

    Args:
        values_s: latencies in the order in which the requests were wanted; NaN is left out.
        calls: how many calls make a page.
        level: a call is slow if it lies above this quantile of the values.
        pages: how many pages are drawn for the resampled share, with replacement.
    """
    kept = values_s[~np.isnan(values_s)]
    limit_s = quantile(kept, level)
    slow = kept > limit_s
    share = float(slow.mean())
    random = np.random.default_rng(_SEED)
    in_order, resampled = [], []
    for number in calls:
        in_order.append(consecutive_share(slow, number))
        drawn = slow[random.integers(0, slow.size, (pages, number))]
        resampled.append(float(drawn.any(axis=1).mean()))
    return Amplification(
        limit_s,
        share,
        tuple(calls),
        tuple(slow.size // number for number in calls),
        np.array(in_order),
        np.array(resampled),
        np.array([any_of(share, number) for number in calls]),
    )


def any_of(share: float, calls: int) -> float:
    """The chance that at least one of n independent calls is slow: 1 − (1 − share)^n."""
    return float(1 - (1 - share) ** calls)


def consecutive_share(slow: np.ndarray, calls: int) -> float:
    """The share of pages of n calls that hold a slow one, as the calls followed each other.

    NaN where the run is too short for `FEWEST_PAGES` pages.
    """
    whole = slow.size // calls
    if whole < FEWEST_PAGES:
        return float("nan")
    return float(slow[: whole * calls].reshape(whole, calls).any(axis=1).mean())


def calls_until_likely(slow_share: float) -> int:
    """The least number of serial calls of which more often than not at least one is slow.

    Raises:
        ValueError: no call, or every call, is slow.
    """
    if not 0 < slow_share < 1:
        raise ValueError(f"a share of slow calls of {slow_share} has no such number")
    calls = 1
    while 1 - (1 - slow_share) ** calls <= 0.5:
        calls += 1
    return calls


def slowest_level(level: float, calls: int) -> float:
    """Which quantile of one call is the quantile of the slowest of n: level^(1/n).

    All n are at or below x with the chance F(x)^n. The median of the slowest of 100 calls is the
    p99.31 of one.
    """
    return float(level ** (1 / calls))


def slowest(values: Floats, level: float, calls: int) -> float | None:
    """A quantile of the slowest of n calls drawn from sorted values, exact.

    `None` where the values do not carry the quantile of one call that it is
    (`measure.quantiles.carried`): p99 of the slowest of 100 needs about 10,000.
    """
    one = slowest_level(level, calls)
    if not carried(values.size, one):
        return None
    return float(values[rank(values.size, one) - 1])


def sums(values: Floats, levels: Sequence[float], calls: int, *, grid: int = _GRID) -> list[Sum]:
    """Quantiles of the sum of n calls drawn from the values, each independent of the others.

    The distribution of the sum is the n-fold convolution of the values' own, by one Fourier
    transform on a grid; no draw is made. Each value is rounded to the nearest point of the grid,
    by half a step at most, so the sum is off by n half steps at most: that is the error given.

    Args:
        values: sorted, without NaN, at least one.
        levels: each above 0 and below 1.
        calls: n, at least 1.
        grid: how many points the sums are spread over; more cost time and make the error smaller.
    """
    low, high = float(values[0]), float(values[-1])
    if high <= low:
        return [Sum(calls * low, 0.0) for _ in levels]
    points = max(grid // calls, 2)
    step = (high - low) / (points - 1)
    places = np.rint((values - low) / step).astype(np.int64)
    shares = np.bincount(places, minlength=points) / values.size
    length = calls * (points - 1) + 1
    size = 1 << (length - 1).bit_length()
    spread = np.fft.irfft(np.fft.rfft(shares, size) ** calls, size)[:length]
    reached = np.cumsum(np.maximum(spread, 0.0))
    # Rounding of the transform, far below one request in a million, must not move a step.
    found = np.searchsorted(reached, np.array(levels) * reached[-1] - 1e-12)
    return [Sum(calls * low + float(place) * step, calls * step / 2) for place in found]
