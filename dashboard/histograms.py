"""What a histogram with buckets can say about a quantile: two bounds, and no more.

Prometheus's own `histogram_quantile` draws a line through the bucket; where a bucket is wide, as
most engines' are at the fast end, that line is invented. These bounds are what is known.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Bounds:
    """The quantile lies in `(lower, upper]`, in the histogram's own unit.

    `lower` is 0 for the first bucket; `upper` is infinite where the quantile is beyond the last.
    """

    lower: float
    upper: float


def quantile_bounds(buckets: Mapping[float, float], quantile: float) -> Bounds | None:
    """The bounds of one quantile.

    `buckets` maps each upper boundary (`le`, infinity included) to the count, or rate, of
    observations at or below it. `None` when nothing was observed. Counts that fall with rising
    `le` (scrapes of a moving target) are read as flat. Raises `ValueError` for a quantile
    outside (0, 1).
    """
    if not 0 < quantile < 1:
        raise ValueError(f"a quantile lies between 0 and 1, not at {quantile}")
    known = sorted((le, count) for le, count in buckets.items() if not math.isnan(count))
    total = max((count for _, count in known), default=0.0)
    if total <= 0:
        return None
    lower = 0.0
    for le, count in known:
        # The tolerance bears the rounding of rates that Prometheus computed by division.
        if count >= quantile * total * (1 - 1e-9):
            return Bounds(lower, le)
        lower = le
    return Bounds(lower, math.inf)
