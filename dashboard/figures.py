"""Figures of series over time, for the Live page. Pure: data in, Plotly figure out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard import text, units
from dashboard.theme import Line

PANEL_HEIGHT, RUN_HEIGHT = 225, 296


@dataclass(frozen=True)
class Curve:
    """Values over wall-clock time, as one line; `stacked` ones are areas, each upon the last."""

    name: str
    line: Line
    times_s: Sequence[float]
    values: Sequence[float]
    stacked: bool = False


@dataclass(frozen=True)
class Band:
    """Bounds over wall-clock time: the truth lies between `lower` and `upper`."""

    name: str
    line: Line
    times_s: Sequence[float]
    lower: Sequence[float]
    upper: Sequence[float]


@dataclass(frozen=True)
class Stretch:
    """A stretch of wall-clock time that is marked with a name: when a load test ran."""

    name: str
    line: Line
    start_s: float
    end_s: float


def panel(
    shapes: Sequence[Curve | Band],
    unit: units.Unit,
    start_s: float,
    end_s: float,
    step_s: float,
    marked: Sequence[Stretch] = (),
    *,
    named: bool = False,
) -> go.Figure:
    """One live panel. Gaps in the series stay gaps.

    With `named` a shape alone is named too, where it could be of several things.
    """
    traces: list[dict[str, Any]] = []
    for shape in shapes:
        if isinstance(shape, Band):
            traces += _band(shape, unit, step_s)
        else:
            traces += _curve(shape, unit, step_s)
    layout = common(PANEL_HEIGHT, legend=named or len(shapes) > 1)
    layout["xaxis"] |= clock_axis(start_s, end_s)
    layout |= stretches(marked, start_s, end_s)
    highest = max((_highest(shape) for shape in shapes), default=0.0)
    highest = max(highest, _highest_stack([one for one in shapes if isinstance(one, Curve)]))
    top = 1.03 if unit == "ratio" else highest * 1.08 or 1.0
    layout["yaxis"] |= {**ticks(unit), "range": [0, top]}
    if unit == "count" and highest < 5:
        layout["yaxis"]["dtick"] = 1
    # One construction: every later update of a figure costs as much as all of it.
    return go.Figure(data=traces, layout=layout)


def numbers(shapes: Sequence[Curve | Band], unit: units.Unit) -> pd.DataFrame:
    """What a live panel draws: a row for each point, lower and upper being alike for a line."""
    rows = []
    for shape in shapes:
        lower, upper = (
            (shape.lower, shape.upper) if isinstance(shape, Band) else (shape.values, shape.values)
        )
        rows += [
            (datetime.fromtimestamp(time_s, UTC).isoformat(), shape.name, low, high)
            for time_s, low, high in zip(shape.times_s, lower, upper, strict=True)
        ]
    what = units.TITLES[unit]
    return pd.DataFrame(rows, columns=["time", "series", f"lower ({what})", f"upper ({what})"])


def common(height: int, legend: bool = True) -> dict[str, Any]:
    """The layout all figures share: margins, legend above."""
    return {
        "height": height,
        "margin": {"l": 8, "r": 12, "t": 30 if legend else 12, "b": 8},
        "showlegend": legend,
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.02,
            "yanchor": "bottom",
            "font": {"size": 12},
            "title": None,
            "itemsizing": "trace",
        },
        "hovermode": "x unified",
        "hoverlabel": {"namelength": -1},
        "xaxis": {"automargin": True, "title": None, "showgrid": False},
        "yaxis": {"automargin": True, "title": None, "zeroline": False},
    }


def scatter(**settings: Any) -> dict[str, Any]:
    """A trace. A figure is made of all of them at once: each later change costs as much again.

    Its texts go in as an array: Plotly looks at every item of a list.
    """
    if "text" in settings:
        settings["text"] = np.array(settings["text"], dtype=object)
    return {"type": "scatter", **settings}


def lay_out_bars(figure: go.Figure, height: int, mode: str) -> None:
    """Bars that lie, one below the other in their order, each cut into parts with their numbers."""
    figure.update_layout(common(height))
    figure.update_layout(
        barmode=mode,
        hovermode="y unified",
        bargap=0.25,
        uniformtext={"mode": "hide", "minsize": 10},
        legend={"traceorder": "normal"},
    )
    # A short name may be digits only, and is no number for that.
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)


def clock_axis(start_s: float, end_s: float) -> dict[str, Any]:
    """The settings of an axis of wall-clock time."""
    return {
        "range": [_clock(start_s), _clock(end_s)],
        "type": "date",
        "nticks": 5,
        "tickformat": "%H:%M:%S" if end_s - start_s < 120 else "%H:%M",
    }


def stretches(marked: Sequence[Stretch], start_s: float, end_s: float) -> dict[str, Any]:
    """A layout's shapes and words for the stretches that fall into the range.

    One that is too narrow for its name goes without: the name stands in the legend. Names of
    stretches at the same time stand below each other.
    """
    areas, words = [], []
    named: list[float] = []
    for one in marked:
        left, right = max(one.start_s, start_s), min(one.end_s, end_s)
        if right <= left:
            continue
        areas.append(
            {
                "type": "rect",
                "xref": "x",
                "yref": "paper",
                "x0": _clock(left),
                "x1": _clock(right),
                "y0": 0,
                "y1": 1,
                "layer": "below",
                "fillcolor": one.line.fill(0.07),
                "line": {"width": 1, "color": one.line.fill(0.5), "dash": one.line.dash},
            }
        )
        if right - left > 0.2 * (end_s - start_s):
            row = sum(abs(left - other) < 0.4 * (end_s - start_s) for other in named)
            named.append(left)
            words.append(
                {
                    "text": text.figure(one.name, 24),
                    "x": _clock(left),
                    "xref": "x",
                    "y": 1,
                    "yref": "paper",
                    "xanchor": "left",
                    "yanchor": "top",
                    "yshift": -12 * row,
                    "showarrow": False,
                    "font": {"size": 10, "color": one.line.colour},
                }
            )
    return {"shapes": areas, "annotations": words}


def _highest_stack(curves: Sequence[Curve]) -> float:
    at: dict[float, float] = {}
    for curve in curves:
        if curve.stacked:
            for time_s, value in zip(curve.times_s, curve.values, strict=True):
                at[time_s] = at.get(time_s, 0.0) + (value if math.isfinite(value) else 0.0)
    return max(at.values(), default=0.0)


def ticks(unit: units.Unit) -> dict[str, str]:
    """An axis's settings for its unit."""
    return units.TICKS.get(unit, units.PLAIN_TICKS)


def _clock(time_s: float) -> datetime:
    # Local time of this machine, which is also the reader's: the page binds to 127.0.0.1.
    return datetime.fromtimestamp(time_s)


def _highest(shape: Curve | Band) -> float:
    values = [*shape.upper, *shape.lower] if isinstance(shape, Band) else shape.values
    return max((value for value in values if math.isfinite(value)), default=0.0)


def runs_of_points(
    times_s: Sequence[float], known: Sequence[bool], step_s: float
) -> list[list[int]]:
    """Indices of points that follow each other without a gap (of more than 1.5 steps)."""
    pieces: list[list[int]] = []
    before = -math.inf
    for i, time in enumerate(times_s):
        if known[i]:
            if time - before > 1.5 * step_s:
                pieces.append([])
            pieces[-1].append(i)
            before = time
    return pieces


def _curve(curve: Curve, unit: units.Unit, step_s: float) -> list[dict[str, Any]]:
    known = [math.isfinite(value) for value in curve.values]
    pieces = runs_of_points(curve.times_s, known, step_s)
    at: dict[float, float] = {}
    x: list[datetime] = []
    y: list[float | None] = []
    if curve.stacked:
        # An area has no gaps: it falls to zero at the step after a piece and rises from the one
        # before the next. On the grid, for at any other time the areas upon it would fall too.
        for piece in pieces:
            at.setdefault(curve.times_s[piece[0]] - step_s, 0.0)
            at |= {curve.times_s[i]: curve.values[i] for i in piece}
            at[curve.times_s[piece[-1]] + step_s] = 0.0
        x, y = [_clock(time_s) for time_s in at], [*at.values()]
    else:
        for piece in pieces:
            x += [*(_clock(curve.times_s[i]) for i in piece), _clock(curve.times_s[piece[-1]])]
            y += [*(curve.values[i] for i in piece), None]
    area = {"stackgroup": "all", "fillcolor": curve.line.fill(0.35)} if curve.stacked else {}
    return [
        {
            **area,
            "type": "scatter",
            "x": x,
            "y": y,
            "name": text.figure(curve.name),
            "mode": "lines",
            "line": {"color": curve.line.colour, "dash": curve.line.dash, "width": 2},
            "text": [units.show(value, unit) for value in y],
            "hovertemplate": "%{text}",
            "connectgaps": False,
        }
    ]


def _band(band: Band, unit: units.Unit, step_s: float) -> list[dict[str, Any]]:
    """The area between the bounds, its upper edge drawn; one legend entry."""
    known = [math.isfinite(value) for value in band.lower]
    name = text.figure(band.name)
    highest = _highest(band)
    traces: list[dict[str, Any]] = []
    for piece in runs_of_points(band.times_s, known, step_s):
        x = [_clock(band.times_s[j]) for j in piece]
        lower = [band.lower[j] for j in piece]
        # Beyond the last boundary there is no upper bound: the area goes off the plot.
        upper = [band.upper[j] if math.isfinite(band.upper[j]) else highest * 2 for j in piece]
        if len(piece) == 1:
            x, lower, upper = [x[0]] * 2, lower * 2, upper * 2
        shared = {"type": "scatter", "x": x, "mode": "lines", "legendgroup": name, "name": name}
        traces += [
            shared | {"y": lower, "line": {"width": 0}, "showlegend": False, "hoverinfo": "skip"},
            shared
            | {
                "y": upper,
                "line": {"color": band.line.colour, "dash": band.line.dash, "width": 1.5},
                "fill": "tonexty",
                "fillcolor": band.line.fill(0.28),
                "showlegend": not traces,
                "text": [units.between(band.lower[j], band.upper[j], unit) for j in piece],
                "hovertemplate": "%{text}",
            },
        ]
    return traces
