"""Figures of finished (or unfinished) runs, for the Compare page. Pure: samples in, figure out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard import text, units
from dashboard.figures import common, ticks
from dashboard.theme import Line
from dashboard.words import t
from measure import quantiles
from measure.quantiles import Floats

POINTS = 1_000
FURTHEST_SURVIVAL = 0.001
_HEIGHT = 296
_TAIL_TICKS = {1.0: "p0", 0.5: "p50", 0.1: "p90", 0.05: "p95", 0.01: "p99", 0.001: "p99.9"}


@dataclass(frozen=True)
class Sample:
    """One run's values of one metric: sorted, without NaN; `name` is how the page calls it.

    `effective` is how many independent values they are worth, by level (`measure.dependence`);
    where it is empty there are no intervals. `short` is what a legend calls it.
    """

    name: str
    line: Line
    values: Floats
    effective: Mapping[float, int]
    short: str = ""

    @property
    def in_legend(self) -> str:
        """Its name in a figure's legend, which takes no markup."""
        return text.figure(self.short or self.name)

    @property
    def on_hover(self) -> str:
        """Its name beside a point's numbers, as the end of a template; never one itself."""
        return f"<extra>{text.figure(self.name).replace('%{', '% {')}</extra>"


@dataclass(frozen=True)
class Tail:
    """Quantiles of a sample at falling survival, as far as the sample carries them."""

    survival: Floats
    value: Floats
    interval_survival: Floats
    low: Floats
    high: Floats


def decimate(count: int, points: int = POINTS) -> np.ndarray:
    """At most `points` ranks (from 0) of a sorted sample of `count`, both ends kept.

    Half of them evenly over the sample, half evenly over the logarithm of what remains above, so
    that the tail loses nothing that a reader could see.
    """
    if count <= points:
        return np.arange(count)
    half = points // 2
    even = np.linspace(0, count - 1, half)
    tail = count - np.geomspace(1, count, points - half)
    return np.unique(np.concatenate([even, tail]).round().astype(np.int64).clip(0, count - 1))


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
        trace = _line(
            x=np.concatenate([value[:1], value]),
            y=np.concatenate([[0.0], share]),
            name=sample.in_legend,
            mode="lines",
            line={"color": sample.line.colour, "dash": sample.line.dash, "width": 2, "shape": "hv"},
            text=[units.show(x, unit) for x in (float(value[0]), *value.tolist())],
            hovertemplate="%{y:.1%} ≤ %{text}" + sample.on_hover,
        )
        traces.append(trace)
    layout = common(_HEIGHT) | {"hovermode": "closest"}
    layout["yaxis"] |= {"range": [0, 1.01], "tickformat": ".0%"}
    layout["xaxis"] |= latency_ticks("x", samples, unit)
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


def tails(samples: Sequence[Sample], unit: units.Unit) -> pd.DataFrame:
    """The quantiles that `tail` draws, with their intervals where it draws them."""
    what = units.TITLES[unit]
    rows = []
    for sample in samples:
        points = tail_points(sample)
        edges = {
            at: (low, high)
            for at, low, high in zip(points.interval_survival, points.low, points.high, strict=True)
        }
        rows += [
            (sample.name, 1 - at, value, *edges.get(at, (math.nan, math.nan)))
            for at, value in zip(points.survival, points.value, strict=True)
        ]
    return pd.DataFrame(
        rows, columns=["run", "quantile", f"value ({what})", f"low ({what})", f"high ({what})"]
    )


def tail_points(sample: Sample) -> Tail:
    """The tail of a sample down to p99.9, each quantile one the sample carries."""
    values = sample.values
    count = values.size
    wanted = np.geomspace(1.0, FURTHEST_SURVIVAL, 300)
    survival = [s for s in wanted.tolist() if s < 1 and quantiles.carried(count, 1 - s)]
    value = [values[quantiles.rank(count, 1 - s) - 1] for s in survival]
    edges = sorted(_intervals(sample, survival).items(), reverse=True)
    return Tail(
        np.array(survival),
        np.array(value),
        np.array([at for at, _ in edges]),
        np.array([low for _, (low, _) in edges]),
        np.array([high for _, (_, high) in edges]),
    )


def _intervals(sample: Sample, survival: Sequence[float]) -> dict[float, tuple[float, float]]:
    """Intervals of every fifth quantile.

    Between the levels of a summary the effective count is interpolated along the figure's axis;
    beyond them it stays.
    """
    if not sample.effective:
        return {}
    values, levels = sample.values, np.array(sorted(sample.effective))
    known = np.array([sample.effective[level] for level in levels.tolist()])
    found = {}
    for s in survival[::-5]:
        worth = int(np.interp(-math.log(s), -np.log(1 - levels), known))
        pair = quantiles.stretched_ranks(values.size, worth, 1 - s)
        if pair:
            found[s] = (float(values[pair[0] - 1]), float(values[pair[1] - 1]))
    return found


def tail(samples: Sequence[Sample], unit: units.Unit, height: int = _HEIGHT) -> go.Figure:
    """Latency against the percentile on a log-survival axis, to p99.9, with 95% intervals."""
    traces = []
    for sample in samples:
        points = tail_points(sample)
        group = text.figure(sample.name)
        if points.interval_survival.size > 1:
            band = _line(
                x=np.concatenate([points.interval_survival, points.interval_survival[::-1]]),
                y=np.concatenate([points.high, points.low[::-1]]),
                fill="toself",
                fillcolor=sample.line.fill(0.18),
                line={"width": 0},
                mode="lines",
                hoverinfo="skip",
                showlegend=False,
                legendgroup=group,
                name=sample.in_legend,
            )
            traces.append(band)
        trace = _line(
            x=points.survival,
            y=points.value,
            name=sample.in_legend,
            legendgroup=group,
            mode="lines",
            line={"color": sample.line.colour, "dash": sample.line.dash, "width": 2},
            text=[
                f"p{_percent(1 - s)}: {units.show(v, unit)}"
                for s, v in zip(points.survival.tolist(), points.value.tolist(), strict=True)
            ],
            hovertemplate="%{text}" + sample.on_hover,
        )
        traces.append(trace)
    layout = common(height) | {"hovermode": "closest"}
    layout["xaxis"] |= {
        "type": "log",
        "range": [0, math.log10(FURTHEST_SURVIVAL) - 0.05],
        "tickvals": list(_TAIL_TICKS),
        "ticktext": list(_TAIL_TICKS.values()),
        "showgrid": True,
    }
    layout["yaxis"] |= latency_ticks("y", samples, unit)
    return go.Figure(data=traces, layout=layout)


def distribution(samples: Sequence[Sample], unit: units.Unit) -> go.Figure:
    """Shares of the values over bins that all runs share, as outlines over areas."""
    traces = []
    layout = common(_HEIGHT) | {"hovermode": "closest"}
    layout["xaxis"] |= ticks(unit)
    layout["yaxis"] |= {"tickformat": ".2~%", "rangemode": "tozero"}
    present = [sample for sample in samples if sample.values.size]
    if present:
        edges, logarithmic = _bins(present)
        for sample in present:
            counts, _ = np.histogram(sample.values, edges)
            share = counts / sample.values.size
            trace = _line(
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
            layout["xaxis"] |= _logarithmic(float(edges[0]), float(edges[-1]), unit, digits)
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
        trace = _line(
            x=time_s,
            y=rate,
            name=text.figure((short or {}).get(name, name)),
            mode="lines",
            line={"color": line.colour, "dash": line.dash, "width": 2},
            text=[units.show(value, unit) for value in rate.tolist()],
            hovertemplate="%{text}",
        )
        traces.append(trace)
    layout = common(_HEIGHT)
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


def _line(**settings: Any) -> dict[str, Any]:
    """A trace. A figure is made of all of them at once: each later change costs as much again.

    Its texts go in as an array: Plotly looks at every item of a list.
    """
    if "text" in settings:
        settings["text"] = np.array(settings["text"], dtype=object)
    return {"type": "scatter", **settings}


def _shaded(end_s: float) -> dict[str, Any]:
    """The warm-up, from the run's start to `end_s`: a grey area with its name at its foot."""
    place = {"xref": "x", "yref": "y domain"}
    area = {"type": "rect", "x0": 0, "x1": end_s, "y0": 0, "y1": 1, "line": {"width": 0}}
    words = {"x": 0, "y": 0, "xanchor": "left", "yanchor": "bottom", "showarrow": False}
    return {
        "shapes": [area | place | {"fillcolor": "rgba(128,128,128,0.14)"}],
        "annotations": [words | place | {"text": t("warm-up")}],
    }


def _percent(level: float) -> str:
    return f"{level * 100:.3f}".rstrip("0").rstrip(".")


def latency_axis(
    figure: go.Figure, which: str, samples: Sequence[Sample], unit: units.Unit
) -> None:
    """`latency_ticks` for a figure that is there already."""
    figure.update_layout({f"{which}axis": latency_ticks(which, samples, unit)})


def latency_ticks(which: str, samples: Sequence[Sample], unit: units.Unit) -> dict[str, Any]:
    """An axis's settings: linear, or logarithmic where the runs are too far apart to share one.

    Zero is on it unless all values are so close together that it would hide what differs.
    """
    settings: dict[str, Any] = {**ticks(unit)}
    values = [sample.values for sample in samples if sample.values.size]
    if not values:
        return settings
    low, high = min(float(v[0]) for v in values), max(float(v[-1]) for v in values)
    if _wide(values):
        settings |= _logarithmic(low, high, unit)
    elif which == "x" and high > low:
        # A line on the frame would be half a line.
        start = 0 if low < 0.4 * high else low - 0.02 * (high - low)
        settings["range"] = [start, 1.015 * high]
    elif low < 0.4 * high:
        settings["rangemode"] = "tozero"
    return settings


def _logarithmic(
    low: float, high: float, unit: units.Unit, digits: Sequence[int] = (1, 2, 5)
) -> dict[str, Any]:
    """A logarithmic axis with ticks at these digits: Plotly drops the unit of its own."""
    decades = range(math.floor(math.log10(low)) if low > 0 else -4, math.ceil(math.log10(high)) + 1)
    ticks = [figure * 10.0**decade for decade in decades for figure in digits]
    words = [units.show(tick, unit) for tick in ticks]
    return {"type": "log", "showgrid": True, "tickvals": ticks, "ticktext": words}


def _wide(values: Sequence[Floats]) -> bool:
    """Whether medians or tails spread over more than a decade and a half."""
    lows = [float(v[v.size // 20]) for v in values]
    highs = [float(v[min(int(v.size * 0.99), v.size - 1)]) for v in values]
    low = min((v for v in lows if v > 0), default=0.0)
    return low > 0 and max(highs) / low > 30


def _bins(samples: Sequence[Sample]) -> tuple[Floats, bool]:
    """Bins from the lowest value to the highest p99.9; logarithmic where the spread is wide.

    As many as the smallest sample fills, 24 to 60.
    """
    smallest = min(s.values.size for s in samples)
    count = min(max(math.ceil(3 * smallest ** (1 / 3)), 24), 60)
    low = min(float(s.values[0]) for s in samples)
    high = max(float(s.values[quantiles.rank(s.values.size, 0.999) - 1]) for s in samples)
    if _wide([s.values for s in samples]) and low > 0:
        return np.geomspace(low, high, count + 1), True
    if high <= low:
        low, high = low * 0.9, high * 1.1 or 1.0
    return np.linspace(low, high, count + 1), False
