"""The figures of attainment and goodput over the load. Pure."""

import math
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from dashboard import run_words, text, units
from dashboard.figures import common
from dashboard.slo.ladder import Point, pooled, users
from dashboard.sources import KINDS
from dashboard.theme import Line, lines_for_instances, lines_for_runs
from dashboard.words import t

_HEIGHT = 350
_WIDE = 12
"""Loads further apart than this stand on a logarithmic axis."""
_MARKERS = {"valid": "circle", "suspect": "diamond", "invalid": "x-open"}


def lines(found: Sequence[Point], dark: bool) -> dict[str, Line]:
    """Each ladder's line by its name: colour by engine, as on Live, dash by settings.

    Of several ladders of one engine each has its own colour: a point has no dash.
    """
    kinds = {one.ladder.name: one.ladder.engine for one in found}
    if len(kinds) > 1 and len(set(kinds.values())) == 1:
        return lines_for_runs(list(kinds), dark)
    return lines_for_instances(kinds, KINDS, dark)


def attainment_figure(
    found: Sequence[Point], objective: float, colours: Mapping[str, Line]
) -> go.Figure:
    """The share of good requests over the load, with intervals; the objective is dashed."""
    made = go.Figure()
    lowest = objective
    for ladder, steps in pooled(found).items():
        shares = [(load, one.share or 0.0) for load, one in steps]
        _line(made, ladder.name, colours[ladder.name], shares)
    for one in found:
        share = one.found.share
        if share is None:
            continue
        low, high = one.found.interval
        lowest = min(lowest, low)
        words = f"{units.show(share, 'ratio')} [{_percents(low, high)}]"
        _dot(made, one, colours[one.ladder.name], share, (share - low, high - share), words)
    made.add_hline(y=objective, line={"color": "rgba(128,128,128,0.9)", "dash": "dash", "width": 1})
    _style(made, found)
    made.update_yaxes(range=[max(0.0, lowest - 0.05) if lowest > 0.5 else -0.02, 1.02])
    made.update_yaxes(tickformat=".2~%")
    return made


def goodput_figure(found: Sequence[Point], colours: Mapping[str, Line]) -> go.Figure:
    """Good requests a second over the load; in an open loop the dotted line is all of them."""
    made = go.Figure()
    most = max((one.load for one in found), default=1.0)
    every = [most * step / 50 for step in range(51)]
    if found and found[0].kind == "rate":
        made.add_scatter(
            x=every,
            y=every,
            mode="lines",
            line={"color": "rgba(128,128,128,0.7)", "dash": "dot", "width": 1},
            hoverinfo="skip",
            showlegend=False,
        )
    for ladder, steps in pooled(found).items():
        rates = [(load, one.goodput_rps) for load, one in steps if one.goodput_rps is not None]
        _line(made, ladder.name, colours[ladder.name], rates)
    for one in found:
        if one.found.goodput_rps is None or not one.found.finished:
            continue
        finished_rps = one.found.finished / one.length_s
        low, high = (edge * finished_rps for edge in one.found.interval)
        good = one.found.goodput_rps
        words = f"{units.show(good, 'rps')} [{units.between(low, high, 'rps')}]"
        _dot(made, one, colours[one.ladder.name], good, (good - low, high - good), words)
    _style(made, found)
    made.update_yaxes(rangemode="tozero", tickformat=",~g")
    return made


def _line(made: go.Figure, ladder: str, line: Line, steps: Sequence[tuple[float, float]]) -> None:
    made.add_scatter(
        x=[load for load, _ in steps],
        y=[value for _, value in steps],
        name=text.figure(ladder, 70),
        legendgroup=text.figure(ladder, 70),
        mode="lines+markers",
        marker={"size": 1, "color": line.colour},
        line={"color": line.colour, "dash": line.dash, "width": 2},
        hoverinfo="skip",
    )


def _dot(
    made: go.Figure,
    one: Point,
    line: Line,
    value: float,
    error: tuple[float, float],
    words: str,
) -> None:
    below, above = (max(edge, 0.0) for edge in error)
    load = units.show(one.load, "rps") if one.kind == "rate" else users(one.load)
    verdict = run_words.state("running") if one.running else run_words.verdict(one.verdict)
    made.add_scatter(
        x=[one.load],
        y=[value],
        error_y={"array": [above], "arrayminus": [below], "width": 3, "thickness": 1.2},
        mode="markers",
        marker={"color": line.colour, "size": 9, "symbol": _MARKERS.get(one.verdict, "x-open")},
        text=[f"{text.figure(one.run_id)}<br>{load}: {words}<br>{text.figure(verdict)}"],
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
        legendgroup=text.figure(one.ladder.name, 70),
    )


def _style(made: go.Figure, found: Sequence[Point]) -> None:
    made.update_layout(common(_HEIGHT))
    made.update_layout(hovermode="closest")
    loads = [one.load for one in found]
    rate = bool(found) and found[0].kind == "rate"
    made.update_xaxes(
        title={
            "text": t("requests a second asked for") if rate else t("users"),
            "standoff": 4,
        },
        rangemode="tozero",
        tickformat=",~g",
        showgrid=True,
    )
    if loads and max(loads) / min(loads) > _WIDE:
        ticks = [step * 10.0**decade for decade in range(-2, 6) for step in (1, 2, 5)]
        low, high = math.log10(min(loads)), math.log10(max(loads))
        made.update_xaxes(
            type="log",
            range=[low - 0.06, high + 0.06],
            tickvals=ticks,
            ticktext=[f"{tick:g}" for tick in ticks],
        )


def _percents(low: float, high: float) -> str:
    return f"{units.figures(low * 100)}–{units.show(high, 'ratio')}"
