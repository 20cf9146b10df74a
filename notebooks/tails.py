"""The arithmetic of tails for the notebooks: pure functions over the latencies of a run."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from measure.quantiles import Floats, carried, interval_ranks, quantile

_SEED = 2013


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
class Width:
    """How wide the 95% interval of one quantile is, in parts of the quantile, by sample size."""

    level: float
    count: tuple[int, ...]
    relative: Floats


@dataclass(frozen=True)
class Pieces:
    """One quantile of each piece of a run: `start_s` of the piece, NaN where it has too few."""

    start_s: Floats
    value_s: Floats


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
        whole = slow.size // number
        cut = slow[: whole * number].reshape(whole, number)
        in_order.append(float(cut.any(axis=1).mean()) if whole >= 20 else float("nan"))
        drawn = slow[random.integers(0, slow.size, (pages, number))]
        resampled.append(float(drawn.any(axis=1).mean()))
    independent = 1 - (1 - share) ** np.array(calls, dtype=np.float64)
    return Amplification(
        limit_s,
        share,
        tuple(calls),
        tuple(slow.size // number for number in calls),
        np.array(in_order),
        np.array(resampled),
        independent,
    )


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


def by_piece(
    wanted_s: Floats, values_s: Floats, *, level: float = 0.99, piece_s: float = 1.0
) -> Pieces:
    """The quantile of each piece of the run, as a dashboard that keeps one number a piece has it.

    Args:
        wanted_s: when each request was wanted; its piece is the one this falls into.
        values_s: its latency, NaN if it has none.
        level: which quantile.
        piece_s: length of a piece, in seconds.
    """
    kept = ~np.isnan(values_s)
    wanted_s, values_s = wanted_s[kept], values_s[kept]
    if not values_s.size:
        return Pieces(np.empty(0), np.empty(0))
    place = np.floor(wanted_s / piece_s).astype(np.int64)
    numbers = np.arange(place.min(), place.max() + 1)
    found = []
    for number in numbers.tolist():
        piece = values_s[place == number]
        found.append(quantile(piece, level) if carried(piece.size, level) else float("nan"))
    return Pieces(numbers * piece_s, np.array(found))


def mean_of_pieces(pieces: Pieces) -> float:
    """The plain mean of the pieces' quantiles: what an average over time in a dashboard shows."""
    known = pieces.value_s[~np.isnan(pieces.value_s)]
    return float(known.mean()) if known.size else float("nan")


def interval_width(
    values_s: Floats, level: float, counts: Sequence[int], *, repeats: int = 200
) -> Width:
    """The median width of the quantile's interval in samples of each size drawn from the values.

    The samples are drawn with replacement, so their values are independent of each other: a real
    run of as many requests that resemble each other knows less. Sizes that carry no interval are
    left out (p99.9 has none below 3,688).
    """
    kept = values_s[~np.isnan(values_s)]
    whole = quantile(kept, level)
    random = np.random.default_rng(_SEED)
    sizes, widths = [], []
    for count in counts:
        pair = interval_ranks(count, level)
        if pair is None or not kept.size:
            continue
        drawn = np.sort(kept[random.integers(0, kept.size, (repeats, count))], axis=1)
        width = drawn[:, pair[1] - 1] - drawn[:, pair[0] - 1]
        sizes.append(count)
        widths.append(float(np.median(width)) / whole)
    return Width(level, tuple(sizes), np.array(widths))


def least_count(level: float) -> int:
    """The least number of independent values that carry a 95% interval of a quantile."""
    high = 2
    while interval_ranks(high, level) is None:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if interval_ranks(middle, level) is None else (low, middle)
    return high
