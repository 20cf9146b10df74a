"""How much two runs differ, whatever their distributions: which of two requests takes longer.

A ratio of p99s says how the tails differ. This says how the runs do: the probability that a value
of the second is larger than one of the first, equal ones counting half (Vargha and Delaney's A,
2000; the area under the ROC curve; the Mann-Whitney statistic over its largest value). 0.5 is no
difference, 1 means that every request of the second run took longer than every one of the first.
Cliff's delta (1993) is twice that less one.
"""

from dataclasses import dataclass
from math import exp, inf, log, sqrt

import numpy as np

from measure.distribution import Distribution
from measure.quantiles import CONFIDENCE, Floats

FEWEST = 10
"""With fewer independent values in a run the interval does not hold what it promises."""


@dataclass(frozen=True)
class Larger:
    """The probability that a value of the second run is larger, and its 95% interval."""

    probability: float
    ci95: tuple[float, float] | None

    @property
    def delta(self) -> float:
        """Cliff's delta: from -1 (all smaller) over 0 to 1 (all larger)."""
        return 2 * self.probability - 1

    @property
    def apart(self) -> bool | None:
        """Whether one half is outside the interval; `None` without one."""
        return None if self.ci95 is None else not self.ci95[0] <= 0.5 <= self.ci95[1]


def larger(first: Distribution, second: Distribution) -> Larger | None:
    """How often a value of the second is larger than one of the first: exact, over all pairs.

    O(n log n). The interval is that of DeLong, DeLong and Clarke-Pearson (1988) on the logit
    scale, with the degrees of freedom of Brunner and Munzel (2000): each run's placements in the
    other have a variance, over as many independent values as the run is worth. Where the runs do
    not overlap (almost) no variance is seen; the interval is then that of Clopper and Pearson for
    as many independent pairs as the smaller run has independent values.

    Returns:
        `None` if a run has no value; no interval where one is worth fewer than `FEWEST` or what
        it is worth is not known.
    """
    if not first.values.size or not second.values.size:
        return None
    of_second = _placements(first.values, second.values)
    probability = float(of_second.mean())
    one, other = _worth(first), _worth(second)
    if min(one, other) < FEWEST:
        return Larger(probability, None)
    of_first = 1 - _placements(second.values, first.values)
    return Larger(probability, _interval(probability, (of_first, one), (of_second, other)))


def _placements(among: Floats, values: Floats) -> Floats:
    """Of each value the share of `among` that is smaller, equal ones counting half. All sorted."""
    below = np.searchsorted(among, values, side="left")
    at_or_below = np.searchsorted(among, values, side="right")
    return (below + at_or_below) / (2.0 * among.size)


def _worth(of: Distribution) -> int:
    """The fewest independent values it is worth at any level: placements are of all of them."""
    return min(of.effective.values(), default=0)


def _interval(
    probability: float, one: tuple[Floats, int], other: tuple[Floats, int]
) -> tuple[float, float]:
    # Imported here: it takes longer than the rest of this room together.
    from scipy.special import stdtrit

    pairs = min(one[1], other[1])
    parts = [float(placements.var(ddof=1)) / worth for placements, worth in (one, other)]
    variance = sum(parts)
    outer = _without_overlap(probability, pairs)
    if variance <= 0:
        return outer
    freedom = variance**2 / sum(
        part**2 / (worth - 1) for part, (_, worth) in zip(parts, (one, other), strict=True)
    )
    reach = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * sqrt(variance)
    centre = log(probability / (1 - probability)) if 0 < probability < 1 else inf
    reach /= probability * (1 - probability)
    low, high = (1 / (1 + exp(-(centre + side * reach))) for side in (-1, 1))
    if min(probability, 1 - probability) * pairs < 1:
        return min(low, outer[0]), max(high, outer[1])
    return low, high


def _without_overlap(probability: float, pairs: int) -> tuple[float, float]:
    """Of `pairs` independent pairs that all fell to one side; both sides where they are equal."""
    furthest = ((1 - CONFIDENCE) / 2) ** (1 / pairs)
    low = furthest if probability > 0.5 else 0.0
    high = 1 - furthest if probability < 0.5 else 1.0
    if probability == 0.5:
        return 1 - furthest, furthest
    return low, high
