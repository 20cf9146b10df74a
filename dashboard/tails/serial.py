"""What a run's tail becomes over n serial calls: figures and table. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard import latency_axis, text, units
from dashboard.figures import common
from dashboard.quantities import LEVEL_TITLES
from dashboard.samples import Sample, decimate
from dashboard.words import t
from measure import serial_calls
from measure.quantiles import LEVELS, Floats, carried, quantile
from measure.serial_calls import Sum

MOST_CALLS = 1_000
QUANTITIES = ("ttft_s", "ttft_from_schedule_s", "e2e_s")
"""Of these a page of several calls makes sense: a gap between tokens is no call."""

_SHOWN = {"p50": 0.5, "p99": 0.99}
_HEIGHT = 310


@dataclass(frozen=True)
class Serial:
    """One run's calls, n of them in a row, drawn independently unless it says otherwise.

    `one`, `slowest` and `total` map p50 and p99 to the quantile of one call, of the slowest of n
    (`None` where the sample does not carry it) and of their sum (`None` where it does not carry
    that of one call: what it never saw is in no sum). `slow_level` is the furthest of p99, p90 and
    p50 the sample carries: `independent` and `in_order` are the chance that one of n calls is
    above it, by arithmetic and as they followed each other (NaN in short runs, `pages` of n calls
    there are). `left_out` requests failed.
    """

    calls: int
    one: dict[str, float | None]
    slowest: dict[str, float | None]
    total: dict[str, Sum | None]
    slow_level: str
    independent: float
    in_order: float
    pages: int
    left_out: int


def serial(in_order: Floats, calls: int, left_out: int) -> Serial | None:
    """The numbers of one run; `None` without a value.

    Args:
        in_order: the values in the order in which the requests were wanted, NaN left out.
        calls: n.
        left_out: how many requests of the window failed and so have no value.
    """
    if not in_order.size:
        return None
    values = np.sort(in_order)
    found = serial_calls.sums(values, list(_SHOWN.values()), calls)
    level = next((name for name in ("p99", "p90") if carried(values.size, LEVELS[name])), "p50")
    slow = in_order > quantile(values, LEVELS[level])
    return Serial(
        calls,
        {name: serial_calls.slowest(values, share, 1) for name, share in _SHOWN.items()},
        {name: serial_calls.slowest(values, share, calls) for name, share in _SHOWN.items()},
        {
            name: one if carried(values.size, share) else None
            for (name, share), one in zip(_SHOWN.items(), found, strict=True)
        },
        level,
        serial_calls.any_of(float(slow.mean()), calls),
        serial_calls.consecutive_share(slow, calls),
        slow.size // calls,
        left_out,
    )


def chances(sample: Sample, calls: int) -> tuple[Floats, Floats]:
    """Values, and the chance that at least one of n calls is above each; to the last carried."""
    count = sample.values.size
    ranks = decimate(count)
    ranks = ranks[ranks + 1 < count] if count > 1 else ranks
    share = (ranks + 1) / count
    return sample.values[ranks], 1 - share**calls


def _above(calls: int, value: str) -> str:
    if calls == 1:
        return t("1 call, above {value}", value=value)
    return t("{calls} calls, above {value}", calls=calls, value=value)


def chance_figure(samples: Sequence[Sample], calls: int, unit: units.Unit) -> go.Figure:
    """The chance that at least one of n calls takes longer than x; dotted and thin, one call."""
    made = go.Figure()
    for sample in samples:
        if not sample.values.size:
            continue
        name = sample.in_legend
        for number in dict.fromkeys((1, calls)):
            value, chance = chances(sample, number)
            many = number == calls
            made.add_scatter(
                x=value,
                y=chance,
                name=name,
                legendgroup=name,
                showlegend=many,
                mode="lines",
                line={
                    "color": sample.line.colour,
                    "dash": sample.line.dash if many else "dot",
                    "width": 2 if many else 1,
                    "shape": "hv",
                },
                text=[_above(number, units.show(one, unit)) for one in value.tolist()],
                hovertemplate="%{y:.2%} · %{text}" + sample.on_hover,
            )
    made.update_layout(common(_HEIGHT))
    made.update_layout(hovermode="closest")
    made.update_yaxes(range=[0, 1.01], tickformat=".0%")
    latency_axis.set_on(made, "x", samples, unit)
    return made


def chance_numbers(samples: Sequence[Sample], calls: int, unit: units.Unit) -> pd.DataFrame:
    """What `chance_figure` draws."""
    rows = []
    for sample in samples:
        for number in dict.fromkeys((1, calls)):
            if sample.values.size:
                value, chance = chances(sample, number)
                rows += [
                    (sample.name, number, *pair)
                    for pair in zip(value.tolist(), chance.tolist(), strict=True)
                ]
    return pd.DataFrame(
        rows, columns=["run", "calls", f"value ({units.TITLES[unit]})", "chance of one above"]
    )


def slowest_points(sample: Sample, level: float, most: int) -> list[tuple[int, float]]:
    """The quantile of the slowest of 1, 2, … calls, as far as the sample carries it."""
    counts = sorted({round(one) for one in np.geomspace(1, most, 60).tolist()})
    found = [(n, serial_calls.slowest(sample.values, level, n)) for n in counts]
    return [(n, value) for n, value in found if value is not None]


def slowest_figure(samples: Sequence[Sample], calls: int, unit: units.Unit) -> go.Figure:
    """p50 (thin) and p99 of the slowest of n calls, over n; a curve ends with what it carries."""
    made = go.Figure()
    most = max(100, calls)
    for sample in samples:
        name = sample.in_legend
        for place, (title, level) in enumerate(_SHOWN.items()):
            points = slowest_points(sample, level, most) if sample.values.size else []
            if not points:
                continue
            made.add_scatter(
                x=[n for n, _ in points],
                y=[value for _, value in points],
                name=name,
                legendgroup=name,
                showlegend=place == 0,
                mode="lines+markers",
                marker={"size": [0] * (len(points) - 1) + [6], "opacity": 1},
                line={
                    "color": sample.line.colour,
                    "dash": sample.line.dash,
                    "width": 1 if place == 0 else 2.4,
                },
                text=[
                    t(
                        "{quantile} of the slowest of {calls}: {value}",
                        quantile=title,
                        calls=n,
                        value=units.show(value, unit),
                    )
                    for n, value in points
                ],
                hovertemplate="%{text}" + sample.on_hover,
            )
    made.add_vline(x=calls, line={"color": "rgba(128,128,128,0.8)", "dash": "dot"})
    made.update_layout(common(_HEIGHT))
    made.update_layout(hovermode="closest")
    marks = [mark for mark in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if mark <= most]
    made.update_xaxes(
        type="log",
        range=[-0.03, math.log10(most) + 0.03],
        tickvals=marks,
        ticktext=[f"{mark:,}" for mark in marks],
        title={"text": t("calls"), "standoff": 4},
    )
    latency_axis.set_on(made, "y", samples, unit)
    return made


def slowest_numbers(samples: Sequence[Sample], calls: int, unit: units.Unit) -> pd.DataFrame:
    """What `slowest_figure` draws."""
    rows = [
        (sample.name, title, *point)
        for sample in samples
        if sample.values.size
        for title, level in _SHOWN.items()
        for point in slowest_points(sample, level, max(100, calls))
    ]
    what = units.TITLES[unit]
    return pd.DataFrame(rows, columns=["run", "quantile", "calls", f"slowest ({what})"])


def table(several: Sequence[tuple[str, Serial]], unit: units.Unit) -> pd.DataFrame:
    """A column a run: one call, the slowest of n, the sum of n, and the check of independence."""
    columns = {text.plain(name): _facts(one, unit) for name, one in several}
    if not columns:
        return pd.DataFrame()
    titles = next(iter(columns.values())).keys()
    return pd.DataFrame({"": list(titles)} | {k: list(v.values()) for k, v in columns.items()})


def _sum(found: Sum | None, unit: units.Unit) -> str:
    if found is None:
        return units.show(None, unit)
    shown = units.show(found.value, unit)
    # An error that three figures would not show is not worth its place.
    if found.error > 0.0005 * found.value:
        shown += f" ± {units.show(found.error, unit)}"
    return shown


def _facts(one: Serial, unit: units.Unit) -> dict[str, str]:
    facts = {}
    for level in _SHOWN:
        facts[t("One call, {quantile}", quantile=level)] = units.show(one.one[level], unit)
    for level in _SHOWN:
        facts[t("Slowest of {calls}, {quantile}", calls=one.calls, quantile=level)] = units.show(
            one.slowest[level], unit
        )
    for level in _SHOWN:
        title = t("Sum of {calls}, {quantile}", calls=one.calls, quantile=level)
        facts[title] = _sum(one.total[level], unit)
    level = LEVEL_TITLES.get(one.slow_level, one.slow_level)
    facts[t("One of {calls} above its tail, independent", calls=one.calls)] = (
        f"{units.show(one.independent, 'ratio')}  (> {level})"
    )
    facts[t("… in the order of the run")] = (
        t("too few pages: {pages}", pages=one.pages)
        if math.isnan(one.in_order)
        else t(
            "{share} of {pages} pages",
            share=units.show(one.in_order, "ratio"),
            pages=f"{one.pages:,}",
        )
    )
    facts[t("Failed requests, left out")] = f"{one.left_out:,}"
    return facts
