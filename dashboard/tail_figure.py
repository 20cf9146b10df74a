"""Samples at falling survival: the tail of each, down to p99.9. Pure: samples in, figure out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard import latency_axis, text, units
from dashboard.figures import RUN_HEIGHT, common, scatter
from dashboard.samples import Sample
from measure import quantiles
from measure.quantiles import Floats

FURTHEST_SURVIVAL = 0.001
_TICKS = {1.0: "p0", 0.5: "p50", 0.1: "p90", 0.05: "p95", 0.01: "p99", 0.001: "p99.9"}


@dataclass(frozen=True)
class Tail:
    """Quantiles of a sample at falling survival, as far as the sample carries them."""

    survival: Floats
    value: Floats
    interval_survival: Floats
    low: Floats
    high: Floats


def points(sample: Sample) -> Tail:
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


def figure(samples: Sequence[Sample], unit: units.Unit, height: int = RUN_HEIGHT) -> go.Figure:
    """Latency against the percentile on a log-survival axis, to p99.9, with 95% intervals."""
    traces = []
    for sample in samples:
        tail = points(sample)
        group = text.figure(sample.name)
        if tail.interval_survival.size > 1:
            band = scatter(
                x=np.concatenate([tail.interval_survival, tail.interval_survival[::-1]]),
                y=np.concatenate([tail.high, tail.low[::-1]]),
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
        trace = scatter(
            x=tail.survival,
            y=tail.value,
            name=sample.in_legend,
            legendgroup=group,
            mode="lines",
            line={"color": sample.line.colour, "dash": sample.line.dash, "width": 2},
            text=[
                f"p{_percent(1 - s)}: {units.show(v, unit)}"
                for s, v in zip(tail.survival.tolist(), tail.value.tolist(), strict=True)
            ],
            hovertemplate="%{text}" + sample.on_hover,
        )
        traces.append(trace)
    layout = common(height) | {"hovermode": "closest"}
    layout["xaxis"] |= {
        "type": "log",
        "range": [0, math.log10(FURTHEST_SURVIVAL) - 0.05],
        "tickvals": list(_TICKS),
        "ticktext": list(_TICKS.values()),
        "showgrid": True,
    }
    layout["yaxis"] |= latency_axis.settings("y", samples, unit)
    return go.Figure(data=traces, layout=layout)


def numbers(samples: Sequence[Sample], unit: units.Unit) -> pd.DataFrame:
    """The quantiles that `figure` draws, with their intervals where it draws them."""
    what = units.TITLES[unit]
    rows = []
    for sample in samples:
        tail = points(sample)
        edges = {
            at: (low, high)
            for at, low, high in zip(tail.interval_survival, tail.low, tail.high, strict=True)
        }
        rows += [
            (sample.name, 1 - at, value, *edges.get(at, (math.nan, math.nan)))
            for at, value in zip(tail.survival, tail.value, strict=True)
        ]
    return pd.DataFrame(
        rows, columns=["run", "quantile", f"value ({what})", f"low ({what})", f"high ({what})"]
    )


def _percent(level: float) -> str:
    return f"{level * 100:.3f}".rstrip("0").rstrip(".")
