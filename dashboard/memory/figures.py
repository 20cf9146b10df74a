"""Memory over time as layers, and the forecast across it. Pure."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard import theme, units
from dashboard.figures import common, ticks
from dashboard.memory.observed import Layer, Observed, layers
from dashboard.words import t
from measure.quantiles import Floats

_HEIGHT = 330
_SECONDS_SHOWN = 120
_STEPS_IN_A_GAP, _LEAST_GAP_S = 2.5, 5.0
_KINDS = ("weights", "kv used", "other")


def over_time(
    one: Observed, dark: bool, *, clock_s: tuple[float, float] | None = None
) -> go.Figure:
    """What one instance holds, in layers; its forecast as lines, at the start and when full.

    Times are seconds from a run's start; with `clock_s` they are wall-clock times, and the figure
    reaches from the one to the other (seconds since the epoch).
    """
    figure = go.Figure()
    moment: Callable[[float], Any] = datetime.fromtimestamp if clock_s else float
    gaps = _gaps(one.held[0])
    times = [moment(time) for time in _with(one.held[0], gaps, _edges(one.held[0], gaps)).tolist()]
    colours = theme.lines_for_runs(_KINDS, dark)
    for layer in layers(one):
        line = colours["kv used" if layer.kind == "kv free" else layer.kind]
        _layer(figure, layer, times, _with(layer.values, gaps, 0.0), line)
    for title, size, dash in forecasts(one):
        figure.add_scatter(
            x=[times[0], times[-1]] if times else [],
            y=[size, size],
            name=title,
            mode="lines",
            line={"color": "#e8e8e8" if dark else "#222222", "dash": dash, "width": 2},
            text=[units.show(size, "bytes")] * 2,
            hovertemplate="%{text}",
        )
    figure.update_layout(common(_HEIGHT))
    figure.update_yaxes(**ticks("bytes"), rangemode="tozero")
    if clock_s:
        ends = [datetime.fromtimestamp(end) for end in clock_s]
        short = clock_s[1] - clock_s[0] < _SECONDS_SHOWN
        words = "%H:%M:%S" if short else "%H:%M"
        figure.update_xaxes(type="date", range=ends, tickformat=words, nticks=6)
    else:
        figure.update_xaxes(ticksuffix=" s")
    return figure


def _gaps(times_s: Floats) -> list[int]:
    """Before which samples nothing was seen for so long that the instance may not have been."""
    lengths = np.diff(times_s)
    if not lengths.size:
        return []
    longest = max(_STEPS_IN_A_GAP * float(np.median(lengths)), _LEAST_GAP_S)
    return (np.flatnonzero(lengths > longest) + 1).tolist()


def _edges(times_s: Floats, gaps: Sequence[int]) -> Floats:
    """The ends of each gap, an instant inside it."""
    return np.array([(times_s[i - 1] + 1e-3, times_s[i] - 1e-3) for i in gaps]).ravel()


def _with(values: Floats, gaps: Sequence[int], inside: Floats | float) -> Floats:
    """`values` with two more for each gap. An area has no gaps: in one it lies at zero."""
    return np.insert(values, np.repeat(gaps, 2).astype(int), inside)


def forecasts(one: Observed) -> list[tuple[str, int, str]]:
    """The forecast's lines: title, bytes, dash. One where nothing comes later."""
    if one.plan is None or not any(one.plan.total(one.where)):
        return []
    start, full = one.plan.total(one.where)
    if start == full:
        return [(t("forecast"), start, "dash")]
    return [(t("forecast at the start"), start, "dash"), (t("forecast when full"), full, "dot")]


def _layer(
    figure: go.Figure, layer: Layer, times: Sequence[Any], values: Floats, line: theme.Line
) -> None:
    free = layer.kind == "kv free"
    figure.add_scatter(
        x=times,
        y=values,
        name=layer.title,
        mode="lines",
        stackgroup="held",
        line={"width": 1, "color": line.colour},
        fillcolor=line.fill(0.2 if free else 0.55),
        fillpattern={"shape": "/" if free else "", "fgcolor": line.colour, "size": 7},
        text=[units.show(value, "bytes") for value in values.tolist()],
        hovertemplate="%{text}",
    )


def numbers(one: Observed, *, clock: bool = False) -> pd.DataFrame:
    """What `over_time` draws: a row a moment, a column a layer, and the forecast."""
    times = one.held[0].tolist()
    shown = [datetime.fromtimestamp(time, UTC).isoformat() for time in times] if clock else times
    frame = pd.DataFrame({"time" if clock else "time (seconds)": shown})
    for layer in layers(one):
        frame[f"{layer.title} (bytes)"] = layer.values
    for title, size, _ in forecasts(one):
        frame[f"{title} (bytes)"] = size
    return frame
