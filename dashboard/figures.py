"""Figures of series over time, for the Live page. Pure: data in, Plotly figure out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import plotly.graph_objects as go

from dashboard import text, units
from dashboard.theme import Line

PANEL_HEIGHT = 225


@dataclass(frozen=True)
class Curve:
    """Values over wall-clock time, as one line."""

    name: str
    line: Line
    times_s: Sequence[float]
    values: Sequence[float]


@dataclass(frozen=True)
class Band:
    """Bounds over wall-clock time: the truth lies between `lower` and `upper`."""

    name: str
    line: Line
    times_s: Sequence[float]
    lower: Sequence[float]
    upper: Sequence[float]


def panel(
    shapes: Sequence[Curve | Band],
    unit: units.Unit,
    start_s: float,
    end_s: float,
    step_s: float,
    revision: str,
) -> go.Figure:
    """One live panel. Gaps in the series stay gaps; `revision` keeps the reader's zoom."""
    figure = go.Figure()
    for shape in shapes:
        if isinstance(shape, Band):
            _add_band(figure, shape, unit, step_s)
        else:
            _add_curve(figure, shape, unit, step_s)
    style(figure, PANEL_HEIGHT, revision, legend=len(shapes) > 1)
    clock = "%H:%M:%S" if end_s - start_s < 120 else "%H:%M"
    figure.update_xaxes(
        range=[_clock(start_s), _clock(end_s)], type="date", nticks=5, tickformat=clock
    )
    highest = max((_highest(shape) for shape in shapes), default=0.0)
    axis(figure, "y", unit)
    if unit == "ratio":
        figure.update_yaxes(range=[0, 1.03])
    elif highest > 0:
        figure.update_yaxes(range=[0, highest * 1.08])
    else:
        figure.update_yaxes(range=[0, 1])
    if unit == "count" and highest < 5:
        figure.update_yaxes(dtick=1)
    return figure


def style(figure: go.Figure, height: int, revision: str, legend: bool = True) -> None:
    """What all figures share: margins, legend above the plot, zoom kept under `revision`."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 12, "t": 30 if legend else 12, "b": 8},
        uirevision=revision,
        showlegend=legend,
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.02,
            "yanchor": "bottom",
            "font": {"size": 12},
            "title": None,
            "itemsizing": "trace",
        },
        hovermode="x unified",
        hoverlabel={"namelength": -1},
    )
    figure.update_xaxes(automargin=True, title=None, showgrid=False)
    figure.update_yaxes(automargin=True, title=None, zeroline=False)


def axis(figure: go.Figure, which: str, unit: units.Unit) -> None:
    """Give the axis its unit's ticks."""
    update = figure.update_xaxes if which == "x" else figure.update_yaxes
    update(**units.TICKS.get(unit, units.PLAIN_TICKS))


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


def _add_curve(figure: go.Figure, curve: Curve, unit: units.Unit, step_s: float) -> None:
    known = [math.isfinite(value) for value in curve.values]
    x: list[datetime | None] = []
    y: list[float | None] = []
    for piece in runs_of_points(curve.times_s, known, step_s):
        x += [*(_clock(curve.times_s[i]) for i in piece), _clock(curve.times_s[piece[-1]])]
        y += [*(curve.values[i] for i in piece), None]
    figure.add_scatter(
        x=x,
        y=y,
        name=text.figure(curve.name),
        mode="lines",
        line={"color": curve.line.colour, "dash": curve.line.dash, "width": 2},
        text=[units.show(value, unit) for value in y],
        hovertemplate="%{text}",
        connectgaps=False,
    )


def _add_band(figure: go.Figure, band: Band, unit: units.Unit, step_s: float) -> None:
    """The area between the bounds, its upper edge drawn; one legend entry."""
    known = [math.isfinite(value) for value in band.lower]
    name = text.figure(band.name)
    highest = _highest(band)
    for i, piece in enumerate(runs_of_points(band.times_s, known, step_s)):
        x = [_clock(band.times_s[j]) for j in piece]
        lower = [band.lower[j] for j in piece]
        # Beyond the last boundary there is no upper bound: the area goes off the plot.
        upper = [band.upper[j] if math.isfinite(band.upper[j]) else highest * 2 for j in piece]
        if len(piece) == 1:
            x, lower, upper = [x[0]] * 2, lower * 2, upper * 2
        shared = {"x": x, "mode": "lines", "legendgroup": name, "name": name}
        figure.add_scatter(**shared, y=lower, line={"width": 0}, showlegend=False, hoverinfo="skip")
        figure.add_scatter(
            **shared,
            y=upper,
            line={"color": band.line.colour, "dash": band.line.dash, "width": 1.5},
            fill="tonexty",
            fillcolor=band.line.fill(0.28),
            showlegend=i == 0,
            text=[units.between(band.lower[j], band.upper[j], unit) for j in piece],
            hovertemplate="%{text}",
        )
