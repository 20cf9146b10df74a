"""The figure of throughput against latency. Pure."""

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from dashboard import text, theme, units
from dashboard.batching.tradeoff import (
    Placed,
    Tradeoff,
    latency_words,
    line_name,
    load_words,
    losses,
)
from dashboard.figures import common, ticks
from dashboard.words import t

_HEIGHT = 430
_DECADE_AND_A_HALF = 30
_FRONT = "#808080"
_MOST_LABELS = 60
_BESIDE = ("top left", "bottom right", "top right", "bottom left")


def figure(tradeoff: Tradeoff, dark: bool) -> go.Figure:
    """A line a knob value along rising load; the front in grey behind; invalid runs hollow, those
    of which too many requests got no answer as crosses."""
    drawn = go.Figure()
    _front_line(drawn, tradeoff)
    keys = list(tradeoff.sweep.lines)
    lines = theme.lines_for_runs([line_name(key) for key in keys], dark)
    for nth, key in enumerate(keys):
        of_line = [one for one in tradeoff.placed if one.member.knobs == key]
        # Lines of different knobs meet at low loads: their points are named at different sides.
        beside = _BESIDE[nth % len(_BESIDE)]
        _line(drawn, tradeoff, of_line, line_name(key), lines[line_name(key)], beside)
    drawn.update_layout(common(_HEIGHT))
    drawn.update_layout(hovermode="closest")
    drawn.update_xaxes(
        **ticks(tradeoff.axes.unit),
        title=tradeoff.axes.throughput_title,
        rangemode="tozero",
        showgrid=True,
    )
    drawn.update_yaxes(**ticks("s"), title=tradeoff.axes.latency_title, rangemode="tozero")
    values = [one.point.latency_s for one in tradeoff.placed]
    if values and min(values) > 0 and max(values) / min(values) > _DECADE_AND_A_HALF:
        _logarithmic(drawn, min(values), max(values))
    return drawn


def _front_line(drawn: go.Figure, tradeoff: Tradeoff) -> None:
    best = tradeoff.front
    drawn.add_scatter(
        x=[one.point.throughput for one in best],
        y=[one.point.latency_s for one in best],
        name=t("Pareto front"),
        mode="lines+markers",
        line={"color": _FRONT, "dash": "dot", "width": 2, "shape": "hv"},
        marker={"size": 18, "color": "rgba(0,0,0,0)", "line": {"color": _FRONT, "width": 2}},
        hoverinfo="skip",
    )


def _line(
    drawn: go.Figure,
    tradeoff: Tradeoff,
    placed: Sequence[Placed],
    name: str,
    line: theme.Line,
    beside: str,
) -> None:
    newest = [one for one in placed if one.standing]
    repeats = [one for one in placed if not one.standing]
    if not newest:
        return
    name = text.figure(name, 80)
    shared = {"legendgroup": name, "name": name}
    if repeats:
        drawn.add_scatter(
            **shared,
            x=[one.point.throughput for one in repeats],
            y=[one.point.latency_s for one in repeats],
            mode="markers",
            opacity=0.45,
            marker={"size": 6, "color": line.colour, "symbol": _symbols(repeats)},
            showlegend=False,
            text=[_hover(tradeoff, one, repeat=True) for one in repeats],
            hovertemplate="%{text}<extra></extra>",
        )
    up, down = _whiskers(newest)
    drawn.add_scatter(
        **shared,
        x=[one.point.throughput for one in newest],
        y=[one.point.latency_s for one in newest],
        mode="lines+markers+text" if len(tradeoff.placed) <= _MOST_LABELS else "lines+markers",
        line={"color": line.colour, "dash": line.dash, "width": 2},
        marker={"size": 9, "color": line.colour, "symbol": _symbols(newest)},
        text=[f"{one.member.load:g}" if one.member.load is not None else "" for one in newest],
        textposition=beside,
        textfont={"size": 11},
        error_y={"array": up, "arrayminus": down, "symmetric": False, "thickness": 1, "width": 4},
        customdata=[_hover(tradeoff, one, repeat=False) for one in newest],
        hovertemplate="%{customdata}<extra></extra>",
    )


def _symbols(placed: Sequence[Placed]) -> list[str]:
    """A shape says what became of the requests, hollow that the client was invalid."""
    shapes = ["x" if one.unanswered else "circle" for one in placed]
    return [
        shape if one.client_valid else f"{shape}-open"
        for shape, one in zip(shapes, placed, strict=True)
    ]


def _whiskers(placed: Sequence[Placed]) -> tuple[list[float], list[float]]:
    pairs = [one.point.interval_s or (one.point.latency_s,) * 2 for one in placed]
    values = [one.point.latency_s for one in placed]
    return (
        [high - value for (_, high), value in zip(pairs, values, strict=True)],
        [value - low for (low, _), value in zip(pairs, values, strict=True)],
    )


def _hover(tradeoff: Tradeoff, one: Placed, *, repeat: bool) -> str:
    point = one.point
    words = [
        text.figure(point.name, 80),
        f"{text.figure(line_name(one.member.knobs), 80)} · "
        f"{load_words(tradeoff.sweep, one.member.load)}",
        f"{units.show(point.throughput, tradeoff.axes.unit)} · "
        f"{tradeoff.axes.latency_title} {latency_words(point)}",
    ]
    if repeat:
        words.append(t("an earlier run of the same"))
    if not one.client_valid:
        words.append(t("client invalid"))
    words += losses(one)
    return "<br>".join(words)


def _logarithmic(drawn: go.Figure, low: float, high: float) -> None:
    """A logarithmic axis with ticks at 1, 2 and 5: Plotly drops the unit of its own."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    places = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
    words = [units.show(one, "s") for one in places]
    drawn.update_yaxes(type="log", showgrid=True, tickvals=places, ticktext=words)
