"""Servers' series of a run over its time: gauges as they were scraped, counters as growth. Pure.

Everything reads the rows of `server_metrics.parquet` (`measure.server_series`). Times are seconds
on the run's clock. Growth is over a sliding stretch that ends at each scrape; unlike PromQL's
`rate`, nothing is extrapolated.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from measure.server_series import Floats, Match, series

STRETCH_S = 5.0
"""How far back growth is looked for: some scrapes, one a second being usual."""


def gauge(
    table: pa.Table, metric: str, match: Match | None = None, how: Literal["sum", "max"] = "sum"
) -> tuple[Floats, Floats]:
    """The gauge at each scrape, its series put together; empty if it is not there.

    Series of one target are scraped at the same moment, so `sum` adds what belongs together.
    """
    found = list(series(table, metric, match).values())
    if not found:
        return np.empty(0), np.empty(0)
    times_s = np.concatenate([t for t, _ in found])
    values = np.concatenate([v for _, v in found])
    moments, place = np.unique(times_s, return_inverse=True)
    if how == "sum":
        total = np.bincount(place, weights=values, minlength=moments.size)
        return moments, total.astype(np.float64)
    highest = np.full(moments.size, -np.inf)
    np.maximum.at(highest, place, values)
    return moments, highest


def rate(
    table: pa.Table, metric: str, match: Match | None = None, stretch_s: float = STRETCH_S
) -> tuple[Floats, Floats]:
    """Growth of a counter for each second of the stretch before each scrape, over its series."""
    times_s, gained = _growth(table, metric, match)
    if not times_s.size:
        return times_s, gained
    first = _first(times_s, stretch_s)
    over_s = times_s - times_s[first]
    return times_s, _over(gained - gained[first], over_s)


def ratio(
    table: pa.Table,
    counter: str,
    over: str,
    match: Match | None = None,
    stretch_s: float = STRETCH_S,
) -> tuple[Floats, Floats]:
    """Growth of one counter for each step of another, in the stretch before each scrape.

    NaN where the other did not grow: there is no mean of nothing. Both are of one target, so they
    are scraped together; a scrape that lacks one of them is left out.
    """
    times_s, gained = _growth(table, counter, match)
    other_s, steps = _growth(table, over, match)
    common, one, other = np.intersect1d(times_s, other_s, return_indices=True)
    if not common.size:
        return common, np.empty(0)
    gained, steps = gained[one], steps[other]
    first = _first(common, stretch_s)
    return common, _over(gained - gained[first], steps - steps[first])


def _growth(table: pa.Table, metric: str, match: Match | None) -> tuple[Floats, Floats]:
    """What a counter has gained since its first scrape, added over series; a fall is a restart."""
    found = list(series(table, metric, match).values())
    moments = np.unique(np.concatenate([np.empty(0), *(t for t, _ in found)]))
    total = np.zeros(moments.size)
    for times_s, values in found:
        steps = np.diff(values)
        gained = np.concatenate([[0.0], np.cumsum(np.where(steps >= 0, steps, values[1:]))])
        # Before its first scrape a series has gained nothing, after its last nothing more.
        place = np.searchsorted(times_s, moments, side="right") - 1
        total += gained[np.maximum(place, 0)]
    return moments, total


def _first(times_s: Floats, stretch_s: float) -> npt.NDArray[np.intp]:
    """For each moment the index of the scrape at which its stretch begins."""
    return np.searchsorted(times_s, times_s - stretch_s - 1e-9, side="left")


def _over(gained: Floats, steps: Floats) -> Floats:
    result = np.full(gained.size, np.nan)
    np.divide(gained, steps, out=result, where=steps > 0)
    return result
