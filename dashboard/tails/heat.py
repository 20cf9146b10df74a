"""Latency over the run's time as a heatmap of counts, failed requests marked. Pure."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard import text, units
from dashboard.figures import common
from dashboard.theme import Line
from dashboard.words import t
from measure import latency, window
from measure.quantiles import Floats
from measure.records import Status
from measure.store import Run
from measure.summary import POOLED, QUANTITIES
from measure.window import Window

HEIGHT = 270
_GREY = "rgba(128,128,128,0.16)"
_ROWS_A_DECADE = 16
_DECADES = 4
"""What is more than so many decades below the largest value stands in the lowest row."""


@dataclass(frozen=True)
class Heat:
    """How many values lie in each cell: `counts[row, column]`, rows from the lowest value up.

    Times are seconds of the run at which the requests were wanted, warm-up and drain included.
    `failed` counts the failed requests of each column.
    """

    time_edges_s: Floats
    value_edges: Floats
    counts: np.ndarray
    failed: np.ndarray
    span: Window


def heat(run: Run, key: str) -> Heat | None:
    """The cells of one quantity of a run; `None` where it has no value and nothing failed."""
    open_loop = window.is_open_loop(run.manifest)
    wanted = window.wanted_s(run.records, open_loop=open_loop)
    if key == POOLED:
        gaps = latency.chunk_gaps(run.records)
        values, times = gaps.gap_s, wanted[gaps.row]
    else:
        values, times = QUANTITIES[key](run.records), wanted
    known = ~np.isnan(values) & ~np.isnan(times)
    if not known.all():
        values, times = values[known], times[known]
    status = run.records.column("status").to_numpy(zero_copy_only=False)
    lost = wanted[(status != Status.OK.value) & (status != Status.CANCELLED.value)]
    lost = lost[~np.isnan(lost)]
    if not values.size and not lost.size:
        return None
    columns = min(max(wanted.size // 8, 20), 100)
    time_edges = np.linspace(
        0.0, max(float(np.nanmax(wanted)), run.window.end_s, 1e-9), columns + 1
    )
    value_edges = _value_edges(values)
    rows = value_edges.size - 1
    place = _places(times, 0.0, time_edges[-1], columns)
    if values.size:
        low, high = math.log(value_edges[0]), math.log(value_edges[-1])
        with np.errstate(divide="ignore"):
            # Below zero is what a clock that was set back makes: the lowest row, as zero.
            row = _places(np.log(np.maximum(values, 0.0)), low, high, rows)
        place = place + columns * row
    counts = np.bincount(place, minlength=rows * columns).reshape(rows, columns)
    failed = np.bincount(_places(lost, 0.0, time_edges[-1], columns), minlength=columns)
    return Heat(time_edges, value_edges, counts, failed, run.window)


def _value_edges(values: Floats) -> Floats:
    positive = values[values > 0]
    if not positive.size:
        return np.geomspace(1e-3, 1.0, 17)
    high = float(positive.max()) * 1.0001
    low = max(float(positive.min()), high / 10**_DECADES) * 0.9999
    low = min(low, high / 1.2)
    # Even a narrow spread has rows that can be seen beside a wide one on the same axis.
    rows = min(max(math.ceil(_ROWS_A_DECADE * math.log10(high / low)), 4), 48)
    return np.geomspace(low, high, rows + 1)


def _places(values: Floats, low: float, high: float, bins: int) -> np.ndarray:
    """Which of even bins each value is in; what lies outside is in the outermost."""
    # -inf (the logarithm of a gap of zero) belongs to the lowest one.
    scaled = np.clip((values - low) / (high - low) * bins, 0, bins - 1)
    return scaled.astype(np.int64)


def figure(one: Heat, line: Line, unit: units.Unit, value_range: tuple[float, float]) -> go.Figure:
    """The heatmap of a run: the darker, the more requests; outside the window it is shaded."""
    shown = np.where(one.counts > 0, one.counts, np.nan).astype(np.float64)
    most = int(one.counts.max(initial=1))
    ticks = [count for count in (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000) if count <= most]
    ticks = ticks if len(ticks) > 1 else sorted({1, most})
    made = go.Figure()
    made.add_heatmap(
        x=one.time_edges_s,
        y=one.value_edges,
        z=np.log10(shown),
        zmin=0,
        zmax=max(math.log10(most), 0.01),
        customdata=_cells(one, unit),
        hovertemplate="%{customdata}<extra></extra>",
        colorscale=[[0, line.fill(0.22)], [1, line.fill(1)]],
        colorbar={
            "thickness": 8,
            "tickvals": [math.log10(count) for count in ticks],
            "ticktext": [f"{count:,}" for count in ticks],
            "outlinewidth": 0,
        },
    )
    _failed(made, one, value_range[1])
    _edges(made, one)
    made.update_layout(common(HEIGHT, legend=False))
    made.update_layout(hovermode="closest")
    made.update_xaxes(ticksuffix=" s", range=[0, float(one.time_edges_s[-1])])
    low, high = value_range
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    marks = [times * 10.0**decade for decade in decades for times in (1, 2, 5)]
    wide = high / low > 100
    marks = [mark for mark in marks if not wide or round(math.log10(mark), 6) % 1 == 0]
    made.update_yaxes(
        type="log",
        range=[math.log10(low) - 0.02, math.log10(high) + 0.12],
        tickvals=marks,
        ticktext=[units.show(mark, unit) for mark in marks],
    )
    return made


def _cells(one: Heat, unit: units.Unit) -> list[list[str]]:
    spans = [
        t("{start} s to {end} s", start=units.figures(a), end=units.figures(b))
        for a, b in zip(one.time_edges_s[:-1].tolist(), one.time_edges_s[1:].tolist(), strict=True)
    ]
    bounds = [
        units.between(a, b, unit)
        for a, b in zip(one.value_edges[:-1].tolist(), one.value_edges[1:].tolist(), strict=True)
    ]
    return [
        [f"{count:,} · {bounds[row]} · {spans[column]}" for column, count in enumerate(counts)]
        for row, counts in enumerate(one.counts.tolist())
    ]


def _failed(made: go.Figure, one: Heat, top: float) -> None:
    where = np.flatnonzero(one.failed)
    middles = (one.time_edges_s[:-1] + one.time_edges_s[1:]) / 2
    made.add_scatter(
        x=middles[where],
        y=np.full(where.size, top * 1.12),
        mode="markers",
        marker={"symbol": "x", "size": 7, "color": "#d1495b"},
        text=[t("{count} failed", count=f"{count:,}") for count in one.failed[where].tolist()],
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
        cliponaxis=False,
    )


def _edges(made: go.Figure, one: Heat) -> None:
    end = float(one.time_edges_s[-1])
    for start_s, end_s in ((0.0, one.span.start_s), (one.span.end_s, end)):
        if end_s > start_s:
            made.add_vrect(x0=start_s, x1=end_s, fillcolor=_GREY, line_width=0, layer="above")
    for edge_s in (one.span.start_s, one.span.end_s):
        if 0 < edge_s < end:
            made.add_vline(x=edge_s, line={"color": "rgba(128,128,128,0.9)", "dash": "dot"})


def value_range(several: list[Heat]) -> tuple[float, float]:
    """From the lowest to the highest edge of all, so that the figures can be compared."""
    used = [one for one in several if one.counts.any()] or several
    return (
        min(float(one.value_edges[0]) for one in used),
        max(float(one.value_edges[-1]) for one in used),
    )


def numbers(one: Heat, name: str, unit: units.Unit) -> pd.DataFrame:
    """The cells that hold something, and the failures."""
    rows, columns = np.nonzero(one.counts)
    what = units.TITLES[unit]
    cells = pd.DataFrame(
        {
            "run": text.plain(name),
            "from (seconds)": one.time_edges_s[columns],
            "to (seconds)": one.time_edges_s[columns + 1],
            f"low ({what})": one.value_edges[rows],
            f"high ({what})": one.value_edges[rows + 1],
            "count": one.counts[rows, columns],
            "failed": 0,
        }
    )
    where = np.flatnonzero(one.failed)
    lost = pd.DataFrame(
        {
            "run": text.plain(name),
            "from (seconds)": one.time_edges_s[where],
            "to (seconds)": one.time_edges_s[where + 1],
            f"low ({what})": math.nan,
            f"high ({what})": math.nan,
            "count": 0,
            "failed": one.failed[where],
        }
    )
    return pd.concat([cells, lost], ignore_index=True)
