"""Exact quantiles of a sample, each with a distribution-free 95% interval.

The quantile of level q is the smallest value x whose share of values at or below it is at least
q: the order statistic of rank ceil(n·q), definition 1 of Hyndman and Fan, "Sample Quantiles in
Statistical Packages" (1996). It is always a value that was measured, nothing is interpolated.

The interval is the pair of order statistics whose ranks are binomial quantiles (David and
Nagaraja, *Order Statistics*, 3rd ed., 7.1): if the values are independent it covers the true
quantile with probability at least 95%, whatever their distribution. Values of requests that
were answered together are not: the ranks are those of as many independent values as the sample
is worth (`measure.dependence`), stretched over the real one.
"""

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt

from measure.dependence import effective_count

Floats = npt.NDArray[np.float64]

LEVELS = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
CONFIDENCE = 0.95


def rank(count: int, level: float) -> int:
    """The 1-based rank of the quantile in a sorted sample of `count` values.

    Computed exactly: in floating point 100 × 0.07 is a little above 7 and would give rank 8.
    """
    if count < 1 or not 0 < level <= 1:
        raise ValueError(f"no quantile of level {level} in {count} values")
    return ceil(Fraction(repr(float(level))) * count)


def carried(count: int, level: float) -> bool:
    """Whether a sample of `count` values says anything of the quantile beyond its maximum.

    Above the median a quantile needs count·(1 − level) ≥ 1: p99 from 100 values on, p99.9 from
    1,000. Below that its order statistic is the maximum, and calling that "p99.9" is untrue. The
    median is given from one value on.
    """
    return count > 0 and (level <= 0.5 or rank(count, level) < count)


def quantile(values: Sequence[float] | Floats, level: float) -> float:
    """The quantile of the values that are not NaN; NaN if there is none."""
    kept = _finite(values)
    if kept.size == 0:
        return float("nan")
    index = rank(kept.size, level) - 1
    return float(np.partition(kept, index)[index])


@lru_cache(maxsize=4096)
def interval_ranks(
    count: int, level: float, confidence: float = CONFIDENCE
) -> tuple[int, int] | None:
    """1-based ranks (low, high) of the interval of a quantile, equal-tailed.

    `None` when no pair of the sample's values reaches the confidence on both sides: two-sided
    95% needs 6 values for p50, 36 for p90, 72 for p95, 368 for p99 and 3,688 for p99.9.
    """
    if count < 1:
        return None
    tail = (1 - confidence) / 2
    low = _first_at(count, level, tail, strictly=True)
    high = _first_at(count, level, 1 - tail, strictly=False) + 1
    return (low, high) if low >= 1 and high <= count else None


def stretched_ranks(
    count: int, effective: int, level: float, confidence: float = CONFIDENCE
) -> tuple[int, int] | None:
    """`interval_ranks` of a sample of `count` values that is worth `effective` independent ones.

    One value in the place of `count / effective`: the outer ends of what it stands for. `None`
    where that many independent values would have no interval.
    """
    pair = interval_ranks(effective, level, confidence)
    if pair is None:
        return None
    low, high = pair
    return (low - 1) * count // effective + 1, -(-high * count // effective)


def effective_counts(
    values: Floats, group: npt.NDArray[np.integer[Any]] | None = None
) -> dict[str, int | None]:
    """How many independent values the sample is worth at each level it carries.

    Args and `None` are those of `measure.dependence.effective_count`.
    """
    kept = np.sort(values)
    return {
        name: effective_count(values, float(kept[rank(kept.size, level) - 1]), group)
        for name, level in LEVELS.items()
        if carried(int(kept.size), level)
    }


def interval(
    values: Sequence[float] | Floats, level: float, confidence: float = CONFIDENCE
) -> tuple[float, float] | None:
    """The interval of a quantile of values in the order in which their requests were wanted.

    NaN is left out. `None` if the sample carries no interval.
    """
    in_order = _finite(values)
    if in_order.size == 0:
        return None
    kept = np.sort(in_order)
    effective = effective_count(in_order, float(kept[rank(kept.size, level) - 1]))
    pair = stretched_ranks(kept.size, effective, level, confidence) if effective else None
    return (float(kept[pair[0] - 1]), float(kept[pair[1] - 1])) if pair else None


def describe(
    values: Sequence[float] | Floats, group: npt.NDArray[np.integer[Any]] | None = None
) -> dict[str, Any]:
    """What `summary.json` holds for one quantity: count, mean, quantiles, max, intervals.

    Args:
        values: the sample, in the order in which its requests were wanted (the intervals rest
            on it, nothing else does); NaN stands for "undefined" and is left out.
        group: whose each value is, where one request has several (its chunk gaps), numbered in
            that order. The values may then hold no NaN.

    Returns:
        `count, effective_count, mean, p50, p90, p95, p99, p999, max, ci95`; `ci95` maps each
        level to `[low, high]`, `effective_count` is that of the median (each interval has its
        own). What the sample cannot carry is `None`, everything if it is empty.
    """
    in_order = _finite(values)
    kept = np.sort(in_order)
    count = int(kept.size)
    worth = effective_counts(in_order, group)
    result: dict[str, Any] = {
        "count": count,
        "effective_count": worth.get("p50"),
        "mean": float(kept.mean()) if count else None,
    }
    ci95: dict[str, list[float] | None] = dict.fromkeys(LEVELS)
    for name, level in LEVELS.items():
        result[name] = float(kept[rank(count, level) - 1]) if carried(count, level) else None
        effective = worth.get(name)
        pair = stretched_ranks(count, effective, level) if effective else None
        ci95[name] = [float(kept[edge - 1]) for edge in pair] if pair else None
    result["max"] = float(kept[-1]) if count else None
    result["ci95"] = ci95
    return result


def _finite(values: Sequence[float] | Floats) -> Floats:
    """A copy without NaN. Infinities stay: they are values, if odd ones."""
    array = np.asarray(values, dtype=np.float64)
    return array[~np.isnan(array)]


def _first_at(count: int, level: float, probability: float, *, strictly: bool) -> int:
    """The smallest k at which the binomial distribution function reaches `probability`."""
    # Imported here: it takes longer than the rest of this room together.
    from scipy.special import bdtr

    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        reached = bdtr(middle, count, level)
        if reached > probability or (not strictly and reached == probability):
            high = middle
        else:
            low = middle + 1
    return low
