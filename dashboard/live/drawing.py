"""From readings to figures: lines and bands, stacks, heatmaps, and the table of labels. Pure."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime

import pandas as pd
import plotly.graph_objects as go

from dashboard import figures, theme, units
from dashboard.figures import PANEL_HEIGHT, Band, Curve, Stretch
from dashboard.live.readings import PanelReadings, Reading
from dashboard.promql import Span
from dashboard.theme import Line
from dashboard.units import Unit
from dashboard.words import t

_HIDDEN_LABELS = ("__name__", "instance", "job", "title", "asked")


def shapes(
    readings: PanelReadings,
    lines: Mapping[str, Line],
    quantile: float,
    without: Collection[str] = (),
    called: Callable[[str], str] = str,
) -> list[Curve | Band]:
    """The readings as a figure's shapes, but for the sources in `without`.

    `called` says what a source is called in the legend.
    """
    found: list[Curve | Band] = []
    for source, several in readings.by_source.items():
        if source in without:
            continue
        for i, reading in enumerate(several):
            name = f"{called(source)} {t(reading.label)}".strip()
            line = lines[source].nth(i)
            if reading.values:
                found.append(Curve(name, line, reading.times_s, reading.values))
                continue
            known = [reading.bounds(quantile, at) for at in range(len(reading.times_s))]
            lower = [bounds.lower if bounds else math.nan for bounds in known]
            upper = [bounds.upper if bounds else math.nan for bounds in known]
            found.append(Band(name, line, reading.times_s, lower, upper))
    return found


def stack(several: Sequence[Reading], dark: bool) -> list[Curve]:
    """One source's readings as areas upon each other, in the order of their labels."""
    colours = theme.palette(dark)
    return [
        Curve(
            t(reading.label) or t("all"),
            Line(colours[i % len(colours)], theme.DASHES[i // len(colours) % len(theme.DASHES)]),
            reading.times_s,
            reading.values,
            stacked=True,
        )
        for i, reading in enumerate(several)
        if reading.values
    ]


def cells(reading: Reading) -> tuple[list[float], list[list[float]]]:
    """A histogram over time: the upper bounds that something lies under, and the rate in each.

    A row a bound, a value a time. Rates of a torn scrape, which fall from one bucket to the next,
    are none.
    """
    bounds = sorted({bound for at in reading.histograms for bound in at})
    rows: list[list[float]] = []
    for below, bound in zip([-math.inf, *bounds], bounds, strict=False):
        rows.append(
            [
                max(0.0, at.get(bound, math.nan) - (at.get(below, 0.0) if at else math.nan))
                for at in reading.histograms
            ]
        )
    used = [i for i, row in enumerate(rows) if any(value > 0 for value in row)]
    if not used:
        return [], []
    first, last = used[0], used[-1]
    return bounds[first : last + 1], rows[first : last + 1]


def heatmap(
    reading: Reading,
    unit: Unit,
    line: Line,
    span: Span,
    marked: Sequence[Stretch] = (),
) -> go.Figure:
    """The rate in each bucket over time. The rows are buckets, each as high as the others.

    A column a step of the whole span: a cell reaches to the next column, which for want of one
    would be the next sample, however late it came.
    """
    bounds, rows = cells(reading)
    at = {
        round((time_s - span.start_s) / span.step_s): i for i, time_s in enumerate(reading.times_s)
    }
    steps = range(round((span.end_s - span.start_s) / span.step_s) + 1)
    names = [_bucket(bound, unit) for bound in bounds]
    layout = figures.common(PANEL_HEIGHT, legend=False)
    layout["xaxis"] |= figures.clock_axis(span.start_s, span.end_s)
    layout |= figures.stretches(marked, span.start_s, span.end_s)
    layout["yaxis"] |= {"type": "category", "nticks": 8, "showgrid": False}
    layout["hovermode"] = "closest"
    trace = {
        "type": "heatmap",
        "x": [datetime.fromtimestamp(span.start_s + step * span.step_s) for step in steps],
        "y": names,
        "z": [
            [row[at[step]] if step in at and row[at[step]] > 0 else None for step in steps]
            for row in rows
        ],
        "colorscale": [[0, line.fill(0.12)], [1, line.colour]],
        "showscale": False,
        "hoverongaps": False,
        "hovertemplate": "%{y}: %{z:.3g}/s<extra></extra>",
    }
    return go.Figure(data=[trace], layout=layout)


def _bucket(upper: float, unit: Unit) -> str:
    return "∞" if math.isinf(upper) else f"≤ {units.show(upper, unit)}"


def heat_numbers(reading: Reading, unit: Unit) -> pd.DataFrame:
    """A heatmap's cells as a table: a row a time and bucket."""
    bounds, rows = cells(reading)
    return pd.DataFrame(
        [
            (datetime.fromtimestamp(time_s, UTC).isoformat(), bound, row[i])
            for bound, row in zip(bounds, rows, strict=True)
            for i, time_s in enumerate(reading.times_s)
        ],
        columns=["time", f"bucket's upper bound ({units.TITLES[unit]})", "rate (1/s)"],
    )


def facts(reading: Reading) -> pd.DataFrame:
    """What a series' labels say, a row each."""
    told = {
        key: value
        for key, value in sorted(reading.labels.items())
        if key not in _HIDDEN_LABELS and value not in ("", "None")
    }
    return pd.DataFrame({t("Setting"): list(told), t("Value"): list(told.values())})
