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
import pandas as pd
import plotly.graph_objects as go
import pyarrow as pa

from dashboard import text, units
from dashboard.engine_side import LEVELS
from dashboard.figures import common, ticks
from dashboard.theme import Line, lines_for_runs
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
_OTHERS = 0.05
"""By which share engine and client may count other requests before their means are too unlike."""
_SAME = {"classify_queue_time": "queue_time", "classify_e2e": "e2e"}


_COLOURS = {
    WAIT: 0, "queue_time": 1, "prefill_time": 2, "validation_time": 3, "decode_time": 4,
    "classify_compute_input": 3, "classify_compute_infer": 2, "classify_compute_output": 4,
    REST: 5, RESIDUAL: 6,
}  # fmt: skip
"""Piece to its place in the palette; the same place for what never stands in one bar."""


def lines(dark: bool) -> dict[str, Line]:
    """Each piece its colour, the same on every page."""
    palette = list(lines_for_runs([str(place) for place in range(7)], dark).values())
    return {piece: palette[place] for piece, place in _COLOURS.items()}


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


def figure(splits: Sequence[Split], called: Mapping[str, str], dark: bool) -> go.Figure:
    """A bar a run, piece after piece; what is below zero goes to the left.

    `called` are short names of the runs, no two alike.
    """
    made = go.Figure()
    colours, on_page = lines(dark), "#ffffff" if dark else "#000000"
    names = [text.figure(called[one.run_id]) for one in splits]
    for piece, title in titles().items():
        means = [
            next((part.mean_s for part in one.pieces if part.name == piece), None) for one in splits
        ]
        if not any(means):
            continue
        made.add_bar(
            orientation="h",
            y=names,
            x=means,
            name=title,
            marker={
                "color": colours[piece].fill(0.35 if piece == RESIDUAL else 1),
                "line": {"width": 0},
                "pattern": {"shape": "/" if piece == RESIDUAL else "", "size": 6},
            },
            text=[units.show(mean, "s") if mean else "" for mean in means],
            textposition="inside",
            insidetextfont={"color": on_page if piece == RESIDUAL else colours[piece].ink},
            insidetextanchor="middle",
            textangle=0,
            hovertemplate="%{text}",
        )
    made.update_layout(common(110 + 34 * len(splits)))
    made.update_layout(
        barmode="relative",
        hovermode="y unified",
        bargap=0.25,
        uniformtext={"mode": "hide", "minsize": 10},
        legend={"traceorder": "normal"},
    )
    made.update_xaxes(**ticks("s"), showgrid=True, zeroline=True)
    # A short name may be digits only, and is no number for that.
    made.update_yaxes(type="category", autorange="reversed", showgrid=False)
    return made


def table(splits: Sequence[Split], called: Mapping[str, str]) -> pd.DataFrame:
    """Means that add up, and beside them quantiles, which do not: bounds, exact at the client."""
    names = titles()
    rows = []
    for one in splits:
        run = called[one.run_id]
        rows += [_row(run, names[piece.name], piece.mean_s, piece.bounds) for piece in one.pieces]
        whole = title_of(one.what)
        total = t("{quantity} from schedule, client", quantity=whole)
        rows.append(_row(run, total, one.total_s, None))
        if one.engine:
            title = t("{quantity}, engine", quantity=whole)
            rows.append(_row(run, title, one.engine.mean_s, one.engine.bounds))
        exact = {name: units.show(value, "s") for name, value in one.client.items()}
        title = t("{quantity}, client", quantity=whole)
        rows.append(_row(run, title, one.client_s, None) | exact)
    return pd.DataFrame(rows)


def _row(
    run: str, title: str, mean_s: float, bounds: Mapping[str, Bounds] | None
) -> dict[str, str]:
    found = bounds or {}
    return {
        t("Run"): run,
        t("Piece"): title,
        t("Mean"): units.show(mean_s, "s"),
        **{
            level: units.between(found[level].lower, found[level].upper, "s")
            if level in found
            else ""
            for level in LEVELS
        },
    }


def title_of(what: str) -> str:
    """What people call the time that is split."""
    return "TTFT" if what == "ttft" else "E2E"


def remarks(splits: Sequence[Split]) -> list[str]:
    """What a reader must know of each bar: what its engine does not export, what is below zero."""
    found = []
    for one in splits:
        if one.note:
            found.append(t("{run}: {what}.", run=text.plain(one.run_id), what=one.note))
        elif one.missing:
            found.append(
                t(
                    "{run}: its engine exports no exact {concepts}; that time is in what is not "
                    "explained, or in the rest of the engine.",
                    run=text.plain(one.run_id),
                    concepts=", ".join(one.missing),
                )
            )
        below = [titles()[piece.name] for piece in one.pieces if piece.mean_s < -1e-6]
        if below:
            found.append(
                t(
                    "{run}: below zero is “{pieces}”: the means are of different requests "
                    "({engine} in the engine, {client} at the client), or the engine's pieces "
                    "overlap.",
                    run=text.plain(one.run_id),
                    pieces=", ".join(below),
                    engine=f"{one.engine.count:,.0f}" if one.engine else "–",
                    client=f"{one.count:,}",
                )
            )
        elif one.engine and abs(one.engine.count - one.count) > _OTHERS * one.count:
            found.append(
                t(
                    "{run}: the engine's means are of {engine} requests, the client's of {client}: "
                    "what is not explained is in part that difference.",
                    run=text.plain(one.run_id),
                    engine=f"{one.engine.count:,.0f}",
                    client=f"{one.count:,}",
                )
            )
    return found


def numbers(splits: Sequence[Split]) -> pd.DataFrame:
    """What the figure draws."""
    return pd.DataFrame(
        [
            (one.run_id, piece.name, piece.mean_s, piece.count or math.nan)
            for one in splits
            for piece in one.pieces
        ],
        columns=["run", "piece", "mean (seconds)", "requests"],
    )
