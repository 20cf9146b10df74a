"""Which runs of several nobody would give up: the Pareto front of throughput and latency. Pure.

One run dominates another if it answers no fewer and is no slower, and is better in one of the two.
The front is what nothing dominates (V. Pareto's optimum; the term in this sense: Ehrgott,
*Multicriteria Optimization*, 2nd ed., 2.1). Latency is a quantile of a sample: where two intervals
overlap, which of the two runs is faster is not known, and that is said beside the front. Where one
of the two samples is too small for an interval, not even that can be told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MOST_FAILED = 0.01
"""The share of finished requests that may fail: beyond it the latency is of those let in only."""


@dataclass(frozen=True)
class Point:
    """One run: what it gives (`throughput`, more is better) and what it costs (`latency_s`).

    `interval_s` is the 95% interval of the latency, `None` where the sample carries none. A point
    that is not `valid` (its client was not, or too many of its requests were not answered) is
    never on the front and dominates nothing.
    """

    name: str
    throughput: float
    latency_s: float
    interval_s: tuple[float, float] | None = None
    valid: bool = True


@dataclass(frozen=True)
class Standing:
    """How a point stands among the others, by their names.

    `dominated_by` is empty on the front. `not_told_apart` are the valid points that give no less
    and whose interval overlaps with this one's: with another sample they might dominate it, or
    might not. `cannot_be_told` are those that give no less where one of the two intervals lacks.
    """

    point: Point
    on_front: bool
    dominated_by: tuple[str, ...] = ()
    not_told_apart: tuple[str, ...] = ()
    cannot_be_told: tuple[str, ...] = ()

    @property
    def surely_dominated_by(self) -> tuple[str, ...]:
        """The points that dominate it and whose latency is told apart from its own."""
        unsure = {*self.not_told_apart, *self.cannot_be_told}
        return tuple(name for name in self.dominated_by if name not in unsure)


def standings(points: Sequence[Point]) -> list[Standing]:
    """Each point's standing, in their order. Names must differ."""
    return [_standing(point, [one for one in points if one is not point]) for point in points]


def front(points: Sequence[Point]) -> list[Point]:
    """The points on the front, by rising throughput."""
    best = [one.point for one in standings(points) if one.on_front]
    return sorted(best, key=lambda point: (point.throughput, point.latency_s))


def dominates(one: Point, other: Point) -> bool:
    """Whether `one` gives no less, costs no more, and is better in one of the two."""
    return (
        one.valid
        and one.throughput >= other.throughput
        and one.latency_s <= other.latency_s
        and (one.throughput > other.throughput or one.latency_s < other.latency_s)
    )


def told_apart(one: Point, other: Point) -> bool | None:
    """Whether the intervals of the two latencies do not overlap; `None` where one of them lacks."""
    if one.interval_s is None or other.interval_s is None:
        return None
    return one.interval_s[1] < other.interval_s[0] or other.interval_s[1] < one.interval_s[0]


def failed_share(summary: Mapping[str, Any]) -> float:
    """Which share of the requests that finished in the window failed; 0 if none finished."""
    failed = summary["requests"]["failed"]
    finished = summary["requests"]["ok"] + failed
    return float(failed / finished) if finished else 0.0


def many_failed(summary: Mapping[str, Any]) -> bool:
    """Whether more than `MOST_FAILED` did: such a run is fast because it turns work away."""
    return failed_share(summary) > MOST_FAILED


def _standing(point: Point, others: Sequence[Point]) -> Standing:
    better = tuple(one.name for one in others if dominates(one, point))
    no_less = [one for one in others if one.valid and one.throughput >= point.throughput]
    return Standing(
        point,
        point.valid and not better,
        better,
        tuple(one.name for one in no_less if told_apart(one, point) is False),
        tuple(one.name for one in no_less if told_apart(one, point) is None),
    )
