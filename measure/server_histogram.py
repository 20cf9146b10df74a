"""What a server's own histogram says of a quantile: two bucket edges, and nothing between them.

Prometheus' `histogram_quantile` draws a straight line inside the bucket; where the bucket is wide
that number is invented. (vLLM's end-to-end buckets begin at 0.3 s: every faster answer is "0.15 s
at the median".) Here the bucket itself is the answer.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from measure.errors import MeasureError


@dataclass(frozen=True)
class Bounds:
    """The quantile is above `lower` and at most `upper`, in the histogram's unit.

    `lower` is 0 in the first bucket (what is measured is never negative), `upper` infinite in the
    last: there the histogram cannot tell the quantile from anything beyond.
    """

    lower: float
    upper: float

    @property
    def below_resolution(self) -> bool:
        """Whether it lies in the first bucket: anything from zero to that edge."""
        return self.lower == 0.0

    @property
    def above_range(self) -> bool:
        """Whether it lies beyond the last finite edge."""
        return math.isinf(self.upper)

    def __str__(self) -> str:
        """In words, without a unit: `0.3 to 0.5`."""
        if self.above_range:
            return f"above {self.lower:g} (beyond the last bucket)"
        if self.below_resolution:
            return f"at most {self.upper:g} (below bucket resolution)"
        return f"{self.lower:g} to {self.upper:g}"


def quantile_bounds(buckets: Mapping[float, float], level: float) -> Bounds | None:
    """Where the quantile of `level` lies, by the same definition as `measure.quantiles`.

    Args:
        buckets: upper edge (`le`, infinity for `+Inf`) to cumulative count; counts may be
            `increase()`s, so fractions, and slightly out of order from scrapes that tore.
        level: between 0 and 1.

    Returns:
        The edges of the bucket it is in; `None` if nothing was counted.

    Raises:
        MeasureError: without a `+Inf` bucket, or with an edge or count that is no number.
    """
    if not 0 < level <= 1:
        raise ValueError(f"no quantile of level {level}")
    edges = sorted(buckets)
    if not edges or edges[-1] != math.inf or any(math.isnan(edge) for edge in edges):
        raise MeasureError(
            "A histogram needs cumulative buckets that end with +Inf, and these have the edges "
            f"{edges}. Ask Prometheus for all buckets (sum by (le))."
        )
    if any(math.isnan(count) for count in buckets.values()):
        raise MeasureError("A histogram bucket holds NaN: the range asked for has no samples.")
    total = max(buckets.values())
    if total <= 0:
        return None
    # Fractions of counts come from divisions: a hair below the wanted share is the share.
    wanted = level * total * (1 - 1e-9)
    lower, seen = 0.0, 0.0
    for edge in edges:
        seen = max(seen, buckets[edge])
        if seen >= wanted:
            return Bounds(lower, edge)
        lower = max(lower, edge)
    raise AssertionError("the +Inf bucket holds every value")
