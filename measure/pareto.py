"""Which runs of several nobody would give up: the Pareto front of throughput and latency. Pure.

One run dominates another if it answers no fewer and is no slower, and is better in one of the two.
The front is what nothing dominates (V. Pareto's optimum; the term in this sense: Ehrgott,
*Multicriteria Optimization*, 2nd ed., 2.1). Latency is a quantile of a sample: where two intervals
overlap, which of the two runs is faster is not known, and that is said beside the front.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Point:
    """One run: what it gives (`throughput`, more is better) and what it costs (`latency_s`).

    `interval_s` is the 95% interval of the latency, `None` where the sample carries none. A point
    that is not `valid` (its client was not) is never on the front and dominates nothing.
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
    and whose latency may, for all that is known, be as low: with another sample they might
    dominate this one.
    """

    point: Point
    on_front: bool
    dominated_by: tuple[str, ...] = ()
    not_told_apart: tuple[str, ...] = ()

    @property
    def surely_dominated(self) -> bool:
        """Whether some point dominates it whose latency is told apart from its own."""
        return bool(set(self.dominated_by) - set(self.not_told_apart))


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


def told_apart(one: Point, other: Point) -> bool:
    """Whether the intervals of the two latencies do not overlap."""
    if one.interval_s is None or other.interval_s is None:
        return False
    return one.interval_s[1] < other.interval_s[0] or other.interval_s[1] < one.interval_s[0]


def answered_rps(summary: Mapping[str, Any]) -> float:
    """Requests of the window that were answered well, for each second of it; 0 of an empty one."""
    window_s = summary["window_s"]
    return float(summary["requests"]["ok"] / window_s) if window_s else 0.0


def _standing(point: Point, others: Sequence[Point]) -> Standing:
    better = tuple(one.name for one in others if dominates(one, point))
    alike = tuple(
        one.name
        for one in others
        if one.valid and one.throughput >= point.throughput and not told_apart(one, point)
    )
    return Standing(point, point.valid and not better, better, alike)
