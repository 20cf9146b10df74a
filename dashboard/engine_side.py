"""What the engine's own histograms say of a run, beside what the client's records say. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from measure.server_histogram import Bounds, quantile_bounds
from measure.server_series import HistogramIncrease, counter_increase, histogram_increase
from measure.window import Window
from servers.contract import Metric

LEVELS = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
CONCEPTS = {
    "ttft": ("TTFT", "ttft_s"),
    "itl": ("ITL", None),
    "e2e": ("E2E", "e2e_s"),
    "queue_time": ("Queue time", None),
}
"""Concept to its title and the client's quantity of the same meaning, if there is one.

The engines' ITL histograms pool the gaps of all requests and the client's ITL is one value a
request: their quantiles are not the same thing, so they do not stand side by side.
"""

BATCHES = {
    "batch_size": ("Batch, requests", ""),
    "classify_inferences": ("Batch, requests", "classify_executions"),
    "iteration_tokens": ("Batch, all tokens a step", ""),
    "output_tokens": ("Batch, output tokens a step", "steps"),
}
"""Concept to its title and, where it is a counter, the concept that counts the batches.

All tokens of a step are those of prompts too; some engines count output tokens only.
"""

AT_END = "of ended answers, rough"
"""Said of a batch whose tokens are counted when answers end, and whose steps as they are made.

Answers that were begun before the window or end after it make it too large or too small, the more
so the shorter the window is: eight users can come to 8.4.
"""

NOTE = (
    "Engine: the bucket of its histogram that holds the quantile, and the exact mean, of what "
    "ended in the window. Client: exact, from the records, of what was sent in it; network and "
    "HTTP are in it. A request begun in warm-up is in the engine's numbers only. The engine's ITL "
    "pools the gaps of all requests and the client's is one value a request, so they do not stand "
    "side by side."
)
"""How to read the two beside each other."""


@dataclass(frozen=True)
class EngineLine:
    """One quantile of one histogram: the bounds it gives, and the client's exact value (s)."""

    title: str
    level: str
    bounds: Bounds | None
    mean_s: float
    client_s: float | None


def engine_lines(
    series: pa.Table, metrics: Sequence[Metric], window: Window, summary: Mapping[str, Any]
) -> list[EngineLine]:
    """What the engine observed in the window, for each concept it has a histogram of."""
    found = []
    for concept, (title, quantity) in CONCEPTS.items():
        for metric in metrics:
            if metric.concept != concept or metric.kind != "histogram":
                continue
            gained = histogram_increase(
                series, metric.name, window.start_s, window.end_s, metric.selector
            )
            if gained is not None and gained.count > 0:
                found += _lines(title, metric, gained, summary.get(quantity or "") or {})
    return found


def _lines(
    title: str, metric: Metric, gained: HistogramIncrease, client: Mapping[str, Any]
) -> list[EngineLine]:
    buckets = {
        upper * metric.scale: count
        for upper, count in zip(gained.upper, gained.cumulative, strict=True)
    }
    return [
        EngineLine(
            title,
            level,
            quantile_bounds(buckets, share),
            gained.mean * metric.scale if gained.count and metric.exact_sum else math.nan,
            client.get(level),
        )
        for level, share in LEVELS.items()
    ]


def mean_batches(
    series: pa.Table, metrics: Sequence[Metric], window: Window
) -> list[tuple[str, float]]:
    """How much the engine computed together in the window: title and exact mean.

    The mean is over batches, as the engine itself counted them (`AT_END` says where that is not
    exact); what computed nothing is left out.
    """
    found = []
    for metric in metrics:
        title, over = BATCHES.get(metric.concept, ("", ""))
        counted = next((one for one in metrics if one.concept == over), None)
        if not title or (over and counted is None):
            continue
        if counted is None:
            names = f"{metric.name}_sum", f"{metric.name}_count"
        else:
            names = metric.name, counted.name
        total, batches = (
            counter_increase(series, name, window.start_s, window.end_s, metric.selector) or 0.0
            for name in names
        )
        if batches:
            found.append((f"{title}, {AT_END}" if metric.at_end else title, total / batches))
    return found
