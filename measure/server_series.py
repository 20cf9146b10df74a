"""What an engine's own Prometheus series say about a stretch of a run. Pure.

Everything reads the rows of `server_metrics.parquet`: `t_s`, `metric`, `labels`, `value`. Series of
one family that differ in labels the caller did not ask for are added up. A match gives a label the
value, or the values, that it may have.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Floats = npt.NDArray[np.float64]
Match = Mapping[str, str | tuple[str, ...]]


@dataclass(frozen=True)
class HistogramIncrease:
    """What a histogram gained between two moments.

    `upper` are the bucket boundaries (the last is +inf), `cumulative` the observations at or
    below each; `count` and `total` (in the metric's own unit) are exact, whatever the buckets.
    """

    upper: tuple[float, ...]
    cumulative: tuple[float, ...]
    count: float
    total: float

    @property
    def mean(self) -> float:
        """Exact mean of what was observed; NaN if nothing was."""
        return self.total / self.count if self.count else math.nan


def series(
    table: pa.Table, metric: str, match: Match | None = None
) -> dict[tuple[tuple[str, str], ...], tuple[Floats, Floats]]:
    """Each series of `metric` whose labels fit `match`: labels -> (times_s, values)."""
    wanted = {
        label: (values,) if isinstance(values, str) else values
        for label, values in (match or {}).items()
    }
    rows = table.filter(pc.equal(table["metric"], metric))
    times_s = rows["t_s"].to_numpy()
    samples = rows["value"].to_numpy()
    members: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for index, pairs in enumerate(rows["labels"].to_pylist()):
        has = dict(pairs)
        if all(has.get(label) in choices for label, choices in wanted.items()):
            members.setdefault(tuple(sorted(pairs)), []).append(index)
    found = {}
    for key, where in members.items():
        order = np.argsort(times_s[where], kind="stable")
        found[key] = (times_s[where][order], samples[where][order])
    return found


def increase(times_s: Floats, values: Floats, start_s: float, end_s: float) -> float | None:
    """What a counter gained between the samples nearest before `start_s` and `end_s`.

    A fall in value is a restart: the counter began again at zero. Unlike PromQL's `increase`,
    nothing is extrapolated. `None` if fewer than two samples bracket the stretch.
    """
    first = max(int(np.searchsorted(times_s, start_s, side="right")) - 1, 0)
    last = int(np.searchsorted(times_s, end_s, side="right")) - 1
    if last <= first:
        return None
    steps = np.diff(values[first : last + 1])
    return float(np.where(steps >= 0, steps, values[first + 1 : last + 1]).sum())


def counter_increase(
    table: pa.Table,
    metric: str,
    start_s: float,
    end_s: float,
    match: Match | None = None,
) -> float | None:
    """The increase of a counter, summed over its series; `None` if there is no such series."""
    gains = [increase(t, v, start_s, end_s) for t, v in series(table, metric, match).values()]
    known = [gain for gain in gains if gain is not None]
    return sum(known) if known else None


def histogram_increase(
    table: pa.Table,
    metric: str,
    start_s: float,
    end_s: float,
    match: Match | None = None,
) -> HistogramIncrease | None:
    """What the histogram `metric` gained, summed over its series; `None` if it is not there."""
    cumulative: dict[float, float] = {}
    for labels, (times_s, values) in series(table, f"{metric}_bucket", match).items():
        gain = increase(times_s, values, start_s, end_s)
        if gain is not None:
            upper = float(dict(labels)["le"])
            cumulative[upper] = cumulative.get(upper, 0.0) + gain
    total = counter_increase(table, f"{metric}_sum", start_s, end_s, match)
    if not cumulative or total is None:
        return None
    bounds = tuple(sorted(cumulative))
    counts = tuple(cumulative[bound] for bound in bounds)
    return HistogramIncrease(bounds, counts, counts[-1], total)
