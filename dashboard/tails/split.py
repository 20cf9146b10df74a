"""Where the time to the first token went: the client's exact means beside the engine's. Pure.

Means add up and quantiles do not: the pieces here are means, and the bounds of their quantiles
stand beside them and add up to nothing. The engine's means are of what its histograms (or sums)
gained in the window, the client's of the requests that count; requests begun in warm-up are in the
engine's numbers only.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dashboard.engine_side import LEVELS
from dashboard.words import t
from measure import latency
from measure.errors import MeasureError
from measure.server_histogram import Bounds, quantile_bounds
from measure.server_series import counter_increase, histogram_increase
from measure.store import Run
from measure.table import in_one_piece
from measure.window import Window
from servers.contract import Metric

WAIT, REST, RESIDUAL = "client_wait", "engine_rest", "residual"
_FIRST_TOKEN = ("validation_time", "queue_time", "prefill_time")
_WHOLE_ANSWER = (
    "validation_time", "queue_time", "classify_queue_time", "prefill_time", "decode_time",
    "classify_compute_input", "classify_compute_infer", "classify_compute_output",
)  # fmt: skip
_ENDS = {"ttft": ("ttft",), "e2e": ("e2e", "classify_e2e")}
_ASKED = {"ttft": ("ttft", "queue_time", "prefill_time"), "e2e": ("e2e", "queue_time")}
_SAME = {"classify_queue_time": "queue_time", "classify_e2e": "e2e"}


def titles() -> dict[str, str]:
    """Piece to what the reader calls it, in the order they are stacked."""
    return {
        WAIT: t("client: sent late"),
        "queue_time": t("engine: queue"),
        "prefill_time": t("engine: prefill"),
        "validation_time": t("engine: checking and tokenizing"),
        "decode_time": t("engine: decode"),
        "classify_compute_input": t("engine: preparing inputs"),
        "classify_compute_infer": t("engine: computing"),
        "classify_compute_output": t("engine: extracting outputs"),
        REST: t("engine: the rest of it"),
        RESIDUAL: t("not explained by the engine: network, HTTP, tokenizing, client"),
    }


def title_of(what: str) -> str:
    """What people call the time that is split."""
    return "TTFT" if what == "ttft" else "E2E"


@dataclass(frozen=True)
class Piece:
    """A part of the time. `mean_s` is exact; `bounds` are of its quantiles, where they are known.

    `count` is of how many requests, 0 where nobody says.
    """

    name: str
    mean_s: float
    count: float = 0.0
    bounds: Mapping[str, Bounds] | None = None


@dataclass(frozen=True)
class Split:
    """The mean time of one run, from the schedule, in pieces that add up to `total_s`.

    `what` is `ttft`, or `e2e` where every answer came whole. `engine` is the engine's own mean of
    it, `None` where it has none; `missing` are the concepts it does not export.
    """

    run_id: str
    what: str
    total_s: float
    client_s: float
    client: Mapping[str, float | None]
    count: int
    pieces: tuple[Piece, ...]
    engine: Piece | None
    missing: tuple[str, ...]
    note: str = ""


def split(run: Run, metrics: Sequence[Metric], series: pa.Table | None) -> Split | None:
    """The pieces of a run's mean; `None` if no request in the window was answered.

    Args:
        run: a run.
        metrics: what its engine exports; empty for an engine the lab does not know.
        series: its `server_metrics`, `None` if none were kept.
    """
    what = "e2e" if in_one_piece(run.summary) else "ttft"
    counted = run.counted
    values = latency.e2e_s(counted) if what == "e2e" else latency.ttft_s(counted)
    known = ~np.isnan(values)
    if not known.any():
        return None
    client_s = float(values[known].mean())
    wait_s = float(latency.schedule_delay_s(counted)[known].mean())
    found: list[Piece] = []
    engine: Piece | None = None
    inexact: list[str] = []
    if series is not None:
        names = _WHOLE_ANSWER if what == "e2e" else _FIRST_TOKEN
        pieces = [_piece(series, metrics, name, run.window) for name in names]
        found = [one for one in pieces if one]
        ends = [one for name in _ENDS[what] if (one := _piece(series, metrics, name, run.window))]
        engine = next((one for one in ends if not math.isnan(one.mean_s)), None)
        inexact = [one.name for one in (*ends, *found) if math.isnan(one.mean_s)]
    exact = [one for one in found if not math.isnan(one.mean_s)]
    parts = [Piece(WAIT, wait_s, float(known.sum())), *exact]
    inside = sum(one.mean_s for one in exact)
    if engine is not None:
        parts.append(Piece(REST, engine.mean_s - inside, engine.count))
        inside = engine.mean_s
    parts.append(Piece(RESIDUAL, client_s - inside))
    have = {one.name for one in exact} | ({what} if engine else set())
    return Split(
        run.path.name,
        what,
        wait_s + client_s,
        client_s,
        {level: run.summary[f"{what}_s"][level] for level in LEVELS},
        int(known.sum()),
        tuple(parts),
        engine,
        tuple(name for name in _ASKED[what] if name not in have),
        _note(metrics, series, inexact, running=run.running),
    )


def _note(
    metrics: Sequence[Metric], series: pa.Table | None, inexact: Sequence[str], *, running: bool
) -> str:
    if not metrics:
        return t("the lab does not know its engine's metrics")
    if series is None and running:
        return t("its engine's series are written when the run ends")
    if series is None:
        return t("no server_metrics.parquet was kept with this run")
    if inexact:
        return t(
            "its engine makes the sum of {concepts} up from buckets, so there is no exact mean",
            concepts=", ".join(inexact),
        )
    return ""


def _piece(series: pa.Table, metrics: Sequence[Metric], concept: str, span: Window) -> Piece | None:
    """What the engine says of one concept in the window; its mean is NaN where it is not exact."""
    for metric in metrics:
        if metric.concept != concept:
            continue
        piece = _from_histogram(series, metric, span) if metric.kind == "histogram" else None
        if metric.kind == "counter":
            piece = _from_sums(series, metric, metrics, span)
        if piece is not None:
            return piece
    return None


def _from_histogram(series: pa.Table, metric: Metric, span: Window) -> Piece | None:
    gained = histogram_increase(series, metric.name, span.start_s, span.end_s, metric.selector)
    if gained is None or gained.count <= 0:
        return None
    buckets = {
        upper * metric.scale: count
        for upper, count in zip(gained.upper, gained.cumulative, strict=True)
    }
    bounds = {level: _bounds(buckets, share) for level, share in LEVELS.items()}
    return Piece(
        _SAME.get(metric.concept, metric.concept),
        gained.mean * metric.scale if metric.exact_sum else math.nan,
        gained.count,
        {level: one for level, one in bounds.items() if one},
    )


def _bounds(buckets: Mapping[float, float], share: float) -> Bounds | None:
    """The bounds of a quantile; `None` where the buckets kept with the run are no histogram."""
    try:
        return quantile_bounds(buckets, share)
    except MeasureError:
        return None


def _from_sums(
    series: pa.Table, metric: Metric, metrics: Sequence[Metric], span: Window
) -> Piece | None:
    """A counter of seconds over the requests it was counted for."""
    family = "classify_requests_ok" if metric.concept.startswith("classify_") else "requests_ok"
    answered = next((one for one in metrics if one.concept == family), None)
    if answered is None:
        return None
    total, count = (
        counter_increase(series, one.name, span.start_s, span.end_s, one.selector) or 0.0
        for one in (metric, answered)
    )
    mean_s = total * metric.scale / count if count > 0 else math.nan
    return Piece(_SAME.get(metric.concept, metric.concept), mean_s, count) if count > 0 else None
