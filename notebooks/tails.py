"""The arithmetic of tails for the notebooks: pure functions over the latencies of a run."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from measure.quantiles import Floats, carried, interval_ranks, quantile
from measure.serial_calls import Amplification, amplification, calls_until_likely

__all__ = [
    "Amplification", "Pieces", "Width", "amplification", "by_piece", "calls_until_likely",
    "interval_width", "least_count", "mean_of_pieces",
]  # fmt: skip

_SEED = 2013


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
