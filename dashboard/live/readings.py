"""What Prometheus said, as a page shows it: values, bounds of quantiles, labels. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from dashboard import promql
from dashboard.panels import Panel
from measure.errors import MeasureError
from measure.server_histogram import Bounds, quantile_bounds


@dataclass(frozen=True)
class Reading:
    """What one query said of one instance, at each of `times_s`.

    A line's `values`; or the rate of each bucket (`le` to rate, cumulative) in `histograms`; or
    the quantiles of a summary as the engine computed them. The other two are empty. `labels` are
    the series' own, where they are what was asked for.
    """

    label: str
    note: str
    times_s: tuple[float, ...]
    values: tuple[float, ...] = ()
    histograms: tuple[Mapping[float, float], ...] = ()
    quantiles: tuple[Mapping[float, float], ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    def last(self, end_s: float, step_s: float) -> float:
        """The newest value, NaN if the series ended earlier."""
        fresh = self.times_s and self.times_s[-1] >= end_s - step_s
        return self.values[-1] if fresh and self.values else math.nan

    def last_bounds(self, quantile: float, end_s: float, step_s: float) -> Bounds | None:
        """The newest bounds of the quantile, `None` if nothing was observed or it ended."""
        fresh = self.times_s and self.times_s[-1] >= end_s - step_s
        return self.bounds(quantile, -1) if fresh and not self.values else None

    def bounds(self, quantile: float, index: int) -> Bounds | None:
        """The bounds of the quantile at one time; `None` if idle, or if a scrape was torn."""
        if self.quantiles:
            value = self.quantiles[index].get(quantile, math.nan)
            return None if math.isnan(value) else Bounds(value, value)
        try:
            return quantile_bounds(self.histograms[index], quantile)
        except MeasureError:
            return None


@dataclass(frozen=True)
class PanelReadings:
    """What a panel can draw, and in `notes` why it cannot draw the rest.

    `queries` are the expressions asked for it. `bucket_scales` are those of them that answer with
    the bucket rates a quantile is read from, and what turns its value into the panel's unit.
    """

    panel: Panel
    by_source: Mapping[str, tuple[Reading, ...]]
    notes: tuple[str, ...]
    queries: tuple[str, ...] = ()
    bucket_scales: Mapping[str, float] = field(default_factory=dict)

    def quantile_queries(self, level: float) -> dict[str, str]:
        """For each query that answers with bucket rates, one for their quantile as a number."""
        return {
            query: promql.quantile(level, query, scale)
            for query, scale in self.bucket_scales.items()
        }


def empty(reading: Reading) -> bool:
    """Whether the reading holds nothing but zeros and NaN: nothing of the kind happened."""
    held = (*reading.histograms, *reading.quantiles)
    numbers = (*reading.values, *(value for one in held for value in one.values()))
    return not any(math.isfinite(value) and value != 0 for value in numbers)


def idle(readings: PanelReadings) -> bool:
    """Whether there are series, and none of them holds a number: nothing was observed."""
    several = [one for group in readings.by_source.values() for one in group]
    return bool(several) and all(
        empty(one) and not any(math.isfinite(value) for value in one.values) for one in several
    )


def in_one_piece(readings: Mapping[str, PanelReadings], load: str) -> bool:
    """Whether the answers of a load test come in one piece: its TTFT is its E2E, and no TTFT.

    `readings` are by panel.
    """

    def observed(key: str) -> bool:
        several = readings[key].by_source.get(load, ()) if key in readings else ()
        return not all(empty(one) for one in several)

    return observed("client_e2e") and not observed("client_chunk_gap")
