"""Figures of runs: distributions of samples, and rates over time. Pure: numbers in, figure out."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard import latency_axis, text, units
from dashboard.figures import RUN_HEIGHT, common, scatter, ticks
from dashboard.samples import Sample, decimate
from dashboard.theme import Line
from dashboard.words import t
from measure import quantiles
from measure.quantiles import Floats


def ecdf(samples: Sequence[Sample], unit: units.Unit) -> go.Figure:
    """The empirical distribution: the share of requests at or below each value, exact."""
    traces = []
    for sample in samples:
        count = sample.values.size
        if not count:
            continue
        ranks = decimate(count)
        share = (ranks + 1) / count
        value = sample.values[ranks]
        trace = scatter(
            x=np.concatenate([value[:1], value]),
            y=np.concatenate([[0.0], share]),
            name=sample.in_legend,
            mode="lines",
            line={"color": sample.line.colour, "dash": sample.line.dash, "width": 2, "shape": "hv"},
            text=[units.show(x, unit) for x in (float(value[0]), *value.tolist())],
            hovertemplate="%{y:.1%} ≤ %{text}" + sample.on_hover,
        )
        traces.append(trace)
    layout = common(RUN_HEIGHT) | {"hovermode": "closest"}
    layout["yaxis"] |= {"range": [0, 1.01], "tickformat": ".0%"}
    layout["xaxis"] |= latency_axis.settings("x", samples, unit)
    return go.Figure(data=traces, layout=layout)


def values(samples: Sequence[Sample], unit: units.Unit) -> pd.DataFrame:
    """All values of the samples, sorted: what an E-CDF and a distribution are drawn of."""
    return pd.DataFrame(
        {
            "run": np.repeat([one.name for one in samples], [one.values.size for one in samples]),
            f"value ({units.TITLES[unit]})": np.concatenate(
                [np.empty(0), *(one.values for one in samples)]
            ),
        }
    )


def distribution(samples: Sequence[Sample], unit: units.Unit) -> go.Figure:
    """Shares of the values over bins that all runs share, as outlines over areas."""
    traces = []
    layout = common(RUN_HEIGHT) | {"hovermode": "closest"}
    layout["xaxis"] |= ticks(unit)
    layout["yaxis"] |= {"tickformat": ".2~%", "rangemode": "tozero"}
    present = [sample for sample in samples if sample.values.size]
    if present:
        edges, logarithmic = _bins(present)
        for sample in present:
            counts, _ = np.histogram(sample.values, edges)
            share = counts / sample.values.size
            trace = scatter(
                x=np.repeat(edges, 2)[1:-1],
                y=np.repeat(share, 2),
                name=sample.in_legend,
                mode="lines",
                line={"color": sample.line.colour, "dash": sample.line.dash, "width": 1.5},
                fill="tozeroy",
                fillcolor=sample.line.fill(0.15),
                text=[units.show(x, unit) for x in np.repeat(edges, 2)[1:-1].tolist()],
                hovertemplate="%{y:.1%} ≈ %{text}" + sample.on_hover,
            )
            traces.append(trace)
        if logarithmic:
            # Three of these figures stand side by side: there is room for few words.
            far = float(edges[-1] / edges[0]) > 100
            digits = (1,) if far else (1, 3)
            layout["xaxis"] |= latency_axis.logarithmic(
                float(edges[0]), float(edges[-1]), unit, digits
            )
    return go.Figure(data=traces, layout=layout)


def over_time(
    rates: Mapping[str, tuple[Floats, Floats]],
    lines: Mapping[str, Line],
    unit: units.Unit,
    warmup_s: float,
    short: Mapping[str, str] | None = None,
) -> go.Figure:
    """Rates over seconds from the run's start; the warm-up, which does not count, is shaded.

    `short` is what the legend calls the runs.
    """
    traces = []
    for name, (time_s, rate) in rates.items():
        line = lines[name]
        trace = scatter(
            x=time_s,
            y=rate,
            name=text.figure((short or {}).get(name, name)),
            mode="lines",
            line={"color": line.colour, "dash": line.dash, "width": 2},
            text=[units.show(value, unit) for value in rate.tolist()],
            hovertemplate="%{text}",
        )
        traces.append(trace)
    layout = common(RUN_HEIGHT)
    layout["xaxis"] |= {"ticksuffix": " s"}
    layout["yaxis"] |= {"rangemode": "tozero", **ticks(unit)}
    if unit == "count" and all((rate < 5).all() for _, rate in rates.values()):
        layout["yaxis"]["dtick"] = 1
    if warmup_s > 0:
        layout |= _shaded(warmup_s)
    return go.Figure(data=traces, layout=layout)


def rates(shown: Mapping[str, tuple[Floats, Floats]], unit: units.Unit) -> pd.DataFrame:
    """What `over_time` draws."""
    rows = [
        (name, time, rate)
        for name, (time_s, several) in shown.items()
        for time, rate in zip(time_s.tolist(), several.tolist(), strict=True)
    ]
    return pd.DataFrame(rows, columns=["run", "time (seconds)", units.TITLES[unit]])


def _shaded(end_s: float) -> dict[str, Any]:
    """The warm-up, from the run's start to `end_s`: a grey area with its name at its foot."""
    place = {"xref": "x", "yref": "y domain"}
    area = {"type": "rect", "x0": 0, "x1": end_s, "y0": 0, "y1": 1, "line": {"width": 0}}
    words = {"x": 0, "y": 0, "xanchor": "left", "yanchor": "bottom", "showarrow": False}
    return {
        "shapes": [area | place | {"fillcolor": "rgba(128,128,128,0.14)"}],
        "annotations": [words | place | {"text": t("warm-up")}],
    }


def _bins(samples: Sequence[Sample]) -> tuple[Floats, bool]:
    """Bins from the lowest value to the highest p99.9; logarithmic where the spread is wide.

    As many as the smallest sample fills, 24 to 60.
    """
    smallest = min(s.values.size for s in samples)
    count = min(max(math.ceil(3 * smallest ** (1 / 3)), 24), 60)
    low = min(float(s.values[0]) for s in samples)
    high = max(float(s.values[quantiles.rank(s.values.size, 0.999) - 1]) for s in samples)
    if latency_axis.wide([s.values for s in samples]) and low > 0:
        return np.geomspace(low, high, count + 1), True
    if high <= low:
        low, high = low * 0.9, high * 1.1 or 1.0
    return np.linspace(low, high, count + 1), False
