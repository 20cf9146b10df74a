"""Figures that only the notebooks draw. Pure: data in, Plotly figure out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from dashboard import run_figures, units
from dashboard.figures import common, ticks
from dashboard.samples import Sample
from dashboard.theme import Line, lines_for_runs
from measure.quantiles import Floats
from notebooks.tails import Amplification, Pieces, Width, least_count

_HEIGHT = 380
_MARKS = ("circle", "diamond", "square", "cross")


@dataclass(frozen=True)
class Dots:
    """One value a request, at the moment it was wanted, as dots of one run."""

    name: str
    line: Line
    wanted_s: Floats
    values_s: Floats


def over_time(samples: Sequence[Dots], title: str) -> go.Figure:
    """Each request's latency (up) at the moment it was wanted (right), one dot a request."""
    figure = go.Figure()
    for place, sample in enumerate(samples):
        figure.add_scattergl(
            x=sample.wanted_s,
            y=sample.values_s,
            name=sample.name,
            mode="markers",
            marker={
                "color": sample.line.colour,
                "symbol": _MARKS[place % len(_MARKS)],
                "size": 6 if place else 4,
            },
            text=[units.show(value, "s") for value in sample.values_s.tolist()],
            hovertemplate="%{text} at %{x:.1f} s<extra>%{fullData.name}</extra>",
        )
    _style(figure)
    figure.update_xaxes(title="seconds from the start of the run", ticksuffix=" s")
    return figure.update_yaxes(title=title, rangemode="tozero", **ticks("s"))


def amplification(found: Amplification) -> go.Figure:
    """The share of pages that hold a slow call, against the number of calls of a page."""
    lines = lines_for_runs(("independent", "resampled", "in order"), dark=False)
    figure = go.Figure()
    figure.add_scatter(
        x=found.calls,
        y=found.independent,
        name="1 − (1 − share)ⁿ",
        mode="lines",
        line={"color": lines["independent"].colour, "width": 2},
    )
    for mark, (name, share) in zip(
        _MARKS, (("resampled", found.resampled), ("in order", found.in_order)), strict=False
    ):
        words = "calls drawn at random" if name == "resampled" else "calls as they came"
        figure.add_scatter(
            x=found.calls,
            y=share,
            name=words,
            mode="markers",
            cliponaxis=False,
            marker={"color": lines[name].colour, "symbol": mark, "size": 9},
        )
    figure.update_traces(hovertemplate="%{y:.1%} of pages of %{x} calls")
    _style(figure)
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(
        title="calls a page makes, one after another",
        type="log",
        tickvals=found.calls,
        ticktext=[str(number) for number in found.calls],
    )
    return figure.update_yaxes(title="pages with a slow call", tickformat=".0%", range=[0, 1])


def pieces(found: Pieces, mean_s: float, whole_s: float, title: str) -> go.Figure:
    """One quantile a piece as bars, their mean, and the quantile of all requests together."""
    lines = lines_for_runs(("pieces", "mean", "whole"), dark=False)
    figure = go.Figure()
    figure.add_bar(
        x=found.start_s,
        y=found.value_s,
        offset=0,
        name="of each second",
        marker={"color": lines["pieces"].fill(0.45)},
        text=[units.show(value, "s") for value in found.value_s.tolist()],
        textposition="none",
        hovertemplate="%{text}",
    )
    for name, value, words in (("mean", mean_s, "their mean"), ("whole", whole_s, "of all")):
        figure.add_scatter(
            x=[found.start_s[0], found.start_s[-1] + 1],
            y=[value, value],
            name=f"{words}: {units.show(value, 's')}",
            mode="lines",
            line={"color": lines[name].colour, "dash": lines[name].dash, "width": 2},
            hovertemplate=units.show(value, "s"),
        )
    _style(figure)
    figure.update_xaxes(title="seconds from the start of the run", ticksuffix=" s")
    return figure.update_yaxes(title=title, rangemode="tozero", **ticks("s"))


def widths(found: Sequence[Width]) -> go.Figure:
    """The width of each quantile's interval, in parts of the quantile, against the sample size."""
    names = [_percentile(one.level) for one in found]
    lines = lines_for_runs(names, dark=False)
    figure = go.Figure()
    for name, one in zip(names, found, strict=True):
        figure.add_scatter(
            x=one.count,
            y=one.relative,
            name=f"{name}: from {least_count(one.level):,} requests on",
            mode="lines+markers",
            line={"color": lines[name].colour, "dash": lines[name].dash, "width": 2},
            hovertemplate="%{x:,} requests: %{y:.0%} of the " + name,
        )
    _style(figure)
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(title="requests in the sample", type="log", dtick="D2", tickformat=",")
    return figure.update_yaxes(
        title="width of the 95% interval", tickformat=".0%", rangemode="tozero"
    )


def errors(named: Mapping[str, Floats]) -> go.Figure:
    """The share of requests (up) whose TTFT was measured too high by no more than this (right)."""
    lines = lines_for_runs(list(named), dark=False)
    samples = [Sample(name, lines[name], np.sort(errors_s), {}) for name, errors_s in named.items()]
    figure = run_figures.ecdf(samples, "s")
    figure.update_xaxes(title="measured TTFT − true TTFT", zeroline=True)
    return figure.update_yaxes(title="share of requests")


def _percentile(level: float) -> str:
    return f"p{level * 100:g}"


def _style(figure: go.Figure) -> None:
    figure.update_layout(common(_HEIGHT))
